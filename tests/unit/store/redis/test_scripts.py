"""The Lua files: what each begins with, and how a call is written."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from cairn_runtime.store.redis.keys import PARTS, Keys
from cairn_runtime.store.redis.scripts import script

FILES = {
    file.name.removesuffix(".lua"): file.read_text("utf-8")
    for file in (resources.files("cairn_runtime.store") / "lua").iterdir()
    if file.name.endswith(".lua")
}
WRITES = "XADD|HSET|HDEL|SADD|PEXPIREAT|PERSIST|UNLINK|XDEL|ZREM"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_script_begins_with_what_it_does(name):
    """A sentence, its arguments and its answers, before the first line of code."""
    head = FILES[name].split("\n\n", maxsplit=1)[0] if name == "settle" else FILES[name]
    lines = [line for line in head.splitlines() if line.startswith("--")]

    assert re.match(r"-- [A-Z].*[.:;,]$|-- .*", lines[0])
    assert name in ("settle", "signals") or any(line.startswith(("-- ARGV:", "-- KEYS:")) for line in lines)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_script_names_no_key_of_its_own(name):
    """Every key is declared, as a cluster asks."""
    calls = re.findall(r"redis\.call\('(\w+)'(?:, ([^,)]+))?", FILES[name])

    assert calls or name == "rights"
    assert {key for command, key in calls if command != "TIME"} <= {
        *(f"KEYS[{n}]" for n in range(1, len(PARTS) + 1)),
        "key",
        "unpack(KEYS",
    }


@pytest.mark.parametrize(
    "name", ["commit", "claim", "create", "heartbeat", "send", "put_progress", "mark", "prune"]
)
def test_a_script_that_is_refused_says_so_before_it_writes(name):
    """Every answer that nothing was done stands above the first write."""
    lines = FILES[name].splitlines()
    writes = [n for n, line in enumerate(lines) if re.search(rf"redis\.call\('({WRITES})'", line)]
    # A claim that is the row's already is written again; what follows is another way through the script.
    first = writes[1] if name == "claim" else writes[0]
    refusals = [
        n for n, line in enumerate(lines) if re.search(r"return \{'(?!stored|row|claimed|alive)", line)
    ]

    assert refusals
    assert max(refusals) < first


def test_a_call_is_written_twice():
    """By the digest, and whole for a server that does not know the script."""
    keys = Keys("p:").of("r")
    call = script("heartbeat").on(keys, "fence")
    by_digest, whole = call.by_digest(), call.whole()

    assert by_digest.startswith(b"*14\r\n$7\r\nEVALSHA\r\n$40\r\n")
    assert whole.startswith(b"*14\r\n$4\r\nEVAL\r\n")
    assert FILES["heartbeat"].encode() in whole
    rest = by_digest.partition(b"$2\r\n10\r\n")[2]
    assert whole.endswith(rest)
    assert rest.startswith(b"$9\r\np:{r}:row\r\n")


def test_what_scripts_share_is_put_before_them():
    """The digest is that of the whole text."""
    whole = script("claim").on(Keys("").of("r")).whole()

    assert (FILES["settle"] + FILES["claim"]).encode() in whole


def test_a_runs_keys_carry_its_tag():
    """So that they lie in one slot; a row's key names its run."""
    keys = Keys("cairn:")
    run = keys.of("a-b")

    assert all(b"{a-b}" in getattr(run, part) for part in PARTS)
    assert keys.run_of(run.row) == "a-b"
    assert keys.any_row == b"cairn:{*}:row"
