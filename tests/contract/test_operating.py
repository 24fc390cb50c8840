"""The settings that the page on operation advises, on real servers: known there, nothing the doctor minds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cairn_runtime.cli.__main__ import main

PAGE = Path(__file__).parents[2] / "docs/howto/operate.md"


def advised(server: str) -> dict[str, list[str]]:
    """The table of a server: names of settings, and the values that stand beside them as code."""
    text = PAGE.read_text().partition(f"<!-- settings: {server} -->")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `([a-z_-]+)` \| (.+?) \|", text, re.MULTILINE)
    return {name: re.findall(r"`([^`]+)`", value) for name, value in rows}


def test_postgres_takes_the_settings_that_are_advised(servers, doctor):
    """Each is one of the server's, the values are in effect, and the doctor finds nothing."""
    settings = advised("postgres")
    given = {name: values[0] for name, values in settings.items() if values}
    postgres = servers.postgres(settings=given)
    known = {name for (name,) in postgres.execute("SELECT name FROM pg_settings")}
    now = {name: postgres.execute("SELECT current_setting(%s)", name)[0][0] for name in given}
    assert main(["store", "migrate", "--store", postgres.url]) == 0

    code, said = doctor(postgres.url)

    assert len(settings) > 5
    assert settings.keys() <= known
    assert now == given
    assert (code, said.splitlines()[-1]) == (0, "nothing is wrong")


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_redis_takes_the_settings_that_are_advised(servers, doctor, fsync):
    """Each is one of the server's, whichever of two values is taken, and the doctor finds nothing."""
    settings = advised("redis")
    given = {name: values[0] for name, values in settings.items() if values} | {"appendfsync": fsync}
    given |= {"maxmemory": "64mb", "min-replicas-to-write": "0"}  # as large as a test is, without replicas
    redis = servers.redis(settings=given)
    known = redis.admin().config_get("*")

    code, said = doctor(redis.url)

    assert fsync in settings["appendfsync"]
    assert len(settings) > 5
    assert settings.keys() <= known.keys()
    assert (code, said.splitlines()[-1]) == (0, "nothing is wrong")
