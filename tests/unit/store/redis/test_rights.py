"""What a Redis user must be allowed, held against what is sent; `test_doctor.py` asks servers."""

from __future__ import annotations

import re
from importlib import resources

from cairn_runtime.store.redis.keys import PARTS, Keys
from cairn_runtime.store.redis.rights import _HELPFUL, NOBODY, _names, judged, needed, unasked

STORE = resources.files("cairn_runtime.store")
WANTED = [("@write", "HSET KEY f v"), ("@write", "SADD KEY m"), ("cluster|slots", "CLUSTER SLOTS")]


def sent() -> set[str]:
    """The commands in the package and in its scripts, by their first word."""
    lua = "".join(file.read_text() for file in (STORE / "lua").iterdir())
    python = "".join(file.read_text() for file in (STORE / "redis").iterdir() if file.name.endswith(".py"))
    called = re.findall(r"redis\.p?call\('([A-Za-z]+)'", lua) + re.findall(
        r"command\(\s*\"([A-Z]+)\"", python
    )
    assert lua.count("redis.call(") + lua.count("redis.pcall(") == len(re.findall(r"redis\.p?call\('", lua))
    return {name.upper() for name in called} | {"EVALSHA"}


def test_every_command_that_is_sent_is_asked_for():
    """And none besides: a right that nobody needs is not asked of people."""
    asked = {call.partition(" ")[0] for _, call in needed(clustered=True)}
    helpful = {call.partition(" ")[0] for call in _HELPFUL}

    assert asked | helpful == sent()
    assert not asked & helpful


def test_a_key_of_each_form_is_asked_for():
    """A run's own, and those of the whole store."""
    names = _names(Keys("team:"))

    assert {name.rpartition(":")[2] for name in names} == {*PARTS, "runs", "store", "audit"}
    assert all(name.startswith("team:") for name in names)


def test_what_cannot_be_asked_is_told_of_who_may_lack_something():
    """Before Redis 7; without a login there is mostly the user that may do everything."""
    (concern,) = unasked("bob")

    assert concern.mend == "compare ACL GETUSER bob with docs/howto/use-redis.md"
    assert not concern.grave
    assert unasked(NOBODY) == []


def test_the_fewest_rules_are_named():
    """A group where all of it is lacking; else each command, a second word behind a bar."""
    keys = ["cairn:{x}:row"]

    def mends(*refused):
        return [(concern.grave, concern.mend) for concern in judged("bob", keys, WANTED, set(refused))]

    assert mends() == []
    assert mends(1, 2, 3) == [(True, "ACL SETUSER bob +@write +cluster|slots")]
    assert mends(2) == [(True, "ACL SETUSER bob +sadd")]
    assert mends(0, 1, 2) == [(True, "ACL SETUSER bob ~cairn:*")]
    assert mends(4, 6) == [(False, "ACL SETUSER bob +info"), (False, "ACL SETUSER bob +role")]
