"""A runner process with keys: what is on the disk, what it says, and what it does without them."""

from __future__ import annotations

import json
import sqlite3

import pytest
from tests.crash.runner.processes import Runner, claimed, until, until_there
from tests.unit.store.rings import codec, key_file, key_text

from cairn_runtime.engine.history import newest_valid
from cairn_runtime.errors import KeyMissing
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.store.codec import Codec

CANARY = "canary-4711-state"
CODE = """
import asyncio, os

async def first(state, ctx):
    return {"told": ["%s"]}

async def gated(state, ctx):
    assert "CAIRN_KEYS_FILE" not in os.environ
    await ctx.progress.save("%s half")
    open("gated.began", "a").write(str(os.getpid()) + "\\n")
    while not os.path.exists("gate"):
        await asyncio.sleep(0.01)
    return {"told": [ctx.progress.value]}

async def last(state):
    return {"told": ["last"]}
""".replace("%s", CANARY)
MANIFEST = {
    "apiVersion": "cairn.dev/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "keys"},
    "spec": {
        "state": {"channels": {"told": {"reducer": "extend"}}},
        "steps": [
            {"name": "first", "python": "steps:first"},
            {"name": "gated", "python": "steps:gated", "needs": ["first"]},
            {"name": "last", "python": "steps:last", "needs": ["gated"]},
        ],
    },
}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/cairn.db?timeout=2s"


@pytest.fixture
async def begin(store, url, tmp_path):
    """Start a runner of the run, with its code in a file and not in the row."""
    (tmp_path / "steps.py").write_text(CODE)
    (tmp_path / "keys.yaml").write_text(json.dumps(MANIFEST))
    row = await find_or_create(store, accept(str(tmp_path / "keys.yaml")))

    async def start(**environ):
        return row.run_id, await Runner.start(url, row.run_id, await claimed(store, row), tmp_path, **environ)

    return start


def on_disk(tmp_path) -> bytes:
    """All that the store has written."""
    return b"".join(path.read_bytes() for path in tmp_path.glob("cairn.db*"))


async def test_nothing_of_the_state_is_on_the_disk(begin, store, tmp_path):
    """Neither a payload nor progress; without keys both can be found there, so the search is a search."""
    (tmp_path / "gate").touch()
    path = key_file(tmp_path, "one", plain="refuse")

    run_id, runner = await begin(CAIRN_KEYS_FILE=str(path))

    assert await runner.ended() == 0, runner.log
    assert CANARY.encode() not in on_disk(tmp_path)
    newest = await newest_valid(store, codec(tmp_path, "one"), await store.run(run_id))
    assert newest.folded.state.channels["told"] == [CANARY, f"{CANARY} half", "last"]
    with pytest.raises(KeyMissing):
        await newest_valid(store, Codec(), await store.run(run_id))


async def test_without_keys_it_is_there(begin, tmp_path):
    """The counter-proof."""
    (tmp_path / "gate").touch()

    _, runner = await begin()

    assert await runner.ended() == 0
    assert CANARY.encode() in on_disk(tmp_path)


async def test_keys_are_rotated_under_a_running_process(begin, store, tmp_path):
    """What it commits next has the new key, with no failed read or write."""
    path = key_file(tmp_path, "one")
    run_id, runner = await begin(CAIRN_KEYS_FILE=str(path))
    await until_there(tmp_path / "gated.began")

    key_file(tmp_path, "two", "one")
    (tmp_path / "gate").touch()

    assert await runner.ended() == 0, runner.log
    assert "key file was read again" in runner.messages
    rows = await store.load(run_id)
    ids = {row.payload[2:10] for row in rows}
    assert len(ids) == 2
    assert rows[-1].payload[2:10] == codec(tmp_path, "two").lock(rows[-1]).payload[2:10]


@pytest.mark.parametrize("names", [None, ["two"]], ids=["no key", "another key"])
async def test_a_runner_without_the_key_stops_and_changes_nothing(begin, store, tmp_path, names):
    """Exit code 78; the row is left alone, and with the key the run goes on from its progress."""
    path = key_file(tmp_path, "one")
    run_id, first = await begin(CAIRN_KEYS_FILE=str(path))
    await until_there(tmp_path / "gated.began")
    first.process.kill()
    await first.ended()
    head = (await store.run(run_id)).head_seq

    given = {"CAIRN_KEYS_FILE": str(key_file(tmp_path, *names))} if names else {}
    _, second = await begin(**given)

    assert await second.ended() == 78
    assert second.word["reason"] == "KeyMissing"
    row = await store.run(run_id)
    assert (row.head_seq, row.phase) == (head, "Running")
    (tmp_path / "gate").touch()
    _, third = await begin(CAIRN_KEYS_FILE=str(key_file(tmp_path, "one")))
    assert await third.ended() == 0
    assert (await until(store, run_id, lambda row: row.finished)).phase == "Succeeded"


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), ("one: c2hvcnQ=\n", "32"), ("SECRET\n", "line 1 is not NAME: BASE64")],
    ids=["no file", "a short key", "no key file"],
)
async def test_a_key_file_that_cannot_be_used_is_bad_configuration(begin, tmp_path, text, said):
    """Exit code 78; nothing runs unencrypted where encryption was asked for, and nothing is quoted."""
    path = tmp_path / "given"
    if text is not None:
        path.write_text(text)

    _, runner = await begin(CAIRN_KEYS_FILE=str(path))

    assert await runner.ended() == 78
    assert runner.word["reason"] == "SettingsInvalid"
    assert said in runner.word["message"]
    assert "SECRET" not in runner.log
    assert not (tmp_path / "gated.began").exists()


async def test_the_key_is_in_nothing_that_a_runner_says(begin, tmp_path):
    """Its log at DEBUG and its last word; the environment of its steps does not name the file."""
    (tmp_path / "gate").touch()
    path = key_file(tmp_path, "one")

    _, runner = await begin(CAIRN_KEYS_FILE=str(path), CAIRN_LOG_LEVEL="DEBUG")

    assert await runner.ended() == 0, runner.log
    for secret in (key_text("one"), CANARY):
        assert secret not in runner.log
        assert secret not in json.dumps(runner.word)


async def test_damaged_progress_is_left_out_loudly(begin, store, tmp_path, url):
    """The task begins at its beginning; the run goes on."""
    path = key_file(tmp_path, "one")
    run_id, first = await begin(CAIRN_KEYS_FILE=str(path))
    await until_there(tmp_path / "gated.began")
    first.process.kill()
    await first.ended()
    with sqlite3.connect(tmp_path / "cairn.db") as db:
        assert db.execute("UPDATE progress SET value = value || x'00'").rowcount == 1
    db.close()
    (tmp_path / "gate").touch()

    _, second = await begin(CAIRN_KEYS_FILE=str(path))

    assert await second.ended() == 0, second.log
    assert "progress was corrupt" in second.messages
    assert (await store.run(run_id)).phase == "Succeeded"
