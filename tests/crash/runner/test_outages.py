"""Runs whose store is there and does not do what it should: slow, full, another server, another password.

What a killed server does to a run is in `test_servers`. Here the server lives, or a copy of it does, and what
is wrong is mended while the run waits: no task fails by it, and none that was committed runs again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from tests.crash.runner.flows import LONG
from tests.crash.runner.stories import Story
from tests.servers.postgres import DATABASE, USER

from cairn_runtime.errors import EXIT_DONE
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.opening import open_store

WAITS = "store did not answer"
"""What a runner logs when it asks again."""


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch) -> None:
    """The file in which tasks leave their traces."""
    monkeypatch.setenv("CAIRN_TEST_EFFECTS", str(tmp_path / "effects"))


async def told(url: str, folder: Path) -> tuple[Story, asyncio.Task[Finish]]:
    """Start a run of thirty tasks, and come back when five are done."""
    store = await open_store(url)
    story = Story(LONG, url, store, folder)
    row = await find_or_create(store, accept(LONG.manifest))
    telling = asyncio.create_task(story.tell(row))
    await story.until_done(5)
    return story, telling


async def ends_well(story: Story, telling: asyncio.Task[Finish]) -> None:
    """The run succeeds, by one runner, each task having run once."""
    finish = await telling
    assert (finish.exit_code, finish.run.phase, finish.run.epoch) == (EXIT_DONE, "Succeeded", 1)
    assert [task for task, _, _ in story.effects()] == [f"s{n}#1" for n in range(30)]
    await story.check(finish.run)
    await story.store.close()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_slow_store_makes_a_run_slow_and_no_more(servers, tmp_path, kind):
    """Two seconds for each call; the log says so, and that is all."""
    server = getattr(servers, kind)()
    proxy = servers.proxy(server)
    story, telling = await told(proxy.url(server.url), tmp_path)
    proxy.delay(2.0)
    slow_from = len(story.effects())

    await story.until_done(slow_from + 2)
    proxy.mend()

    await ends_well(story, telling)
    assert "save was slow" in (tmp_path / "runner.log").read_text()


async def test_a_run_goes_on_with_the_standby_that_was_promoted(servers, tmp_path):
    """The primary dies under it; what was acknowledged is on the other one, which had to confirm it."""
    primary = servers.postgres(settings={"synchronous_standby_names": "*"})
    # Until there is a standby nothing could be confirmed: it takes the names away from its copy, and follows.
    standby = servers.standby(primary)
    both = primary.url.replace(
        f"127.0.0.1:{primary.port}", f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    )
    story, telling = await told(f"{both}?timeout=2s", tmp_path)
    await asyncio.to_thread(primary.kill)
    await story.until_logged(WAITS)

    standby.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
    await asyncio.to_thread(standby.promote)
    standby.execute("SELECT pg_reload_conf()")

    await ends_well(story, telling)


async def test_a_full_redis_is_waited_for(servers, tmp_path):
    """It evicts nothing and refuses writes, until it is given more memory."""
    server = servers.redis()
    story, telling = await told(server.url, tmp_path)
    with server.admin() as admin:
        admin.config_set("maxmemory", "1mb")
        await story.until_logged("memory is full")

        admin.config_set("maxmemory", "0")

    await ends_well(story, telling)


async def test_a_rotated_password_of_postgres_is_read_from_its_file(servers, tmp_path):
    """Between the change on the server and the change of the file a run waits, and does not fail."""
    server = servers.postgres(password=True)
    file = tmp_path / "pgpass"
    file.touch(0o600)
    file.write_text(f"*:*:*:*:{server.password}\n")
    url = f"postgresql://{USER}@{server.host}:{server.port}/{DATABASE}?passfile={quote(str(file))}"
    story, telling = await told(url, tmp_path)
    server.execute("ALTER USER cairn PASSWORD 'another'")
    server.password = "another"
    server.terminate_backends()
    await story.until_logged("password authentication failed")

    file.write_text("*:*:*:*:another\n")

    await ends_well(story, telling)


async def test_a_rotated_password_of_redis_is_read_from_its_file(servers, tmp_path):
    """The same, with the file that `?passfile=` names."""
    server = servers.redis(acl="~cairn:* &* +@all -@dangerous +info +config|get")
    file = tmp_path / "password"
    file.write_text(f"{server.password}\n")
    at = urlsplit(server.url)
    story, telling = await told(
        f"redis://{server.user}@{at.hostname}:{at.port}/0?passfile={quote(str(file))}", tmp_path
    )
    with server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", server.user, "resetpass", ">another")
        admin.execute_command("CLIENT", "KILL", "USER", server.user)
    await story.until_logged("user or password are wrong")

    file.write_text("another\n")

    await ends_well(story, telling)
