"""`cairn verify` finds what was changed behind Cairn's back, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest
from tests.unit.cli.builders import Writer, compiled, document, waiting_run

from cairn_runtime.engine.history import fold_at
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.store.base import NewRun
from cairn_runtime.store.codec import Codec

RUN_UID = "6f1c9d0e-52a4-5b7e-9d6b-0c3a1f7e4d21"
SEQ = "(key & 4294967295)"
"""A checkpoint's place in its run, as the schema packs it."""


def spoil(url: str, statement: str, *values: object) -> None:
    """Change rows of the file directly."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        changed = db.execute(statement, values).rowcount
    db.close()
    assert changed > 0


async def _snapshot_and_one_more(store) -> str:
    """A run whose last but one checkpoint needs nothing before it."""
    writer = await Writer.begin(store)
    await writer.item("fetch", 0)
    await writer.item("fetch", 1)
    await writer.done("draft", {"text": "first"}, snapshot=True)
    await writer.done("check", {"score": 9})
    return writer.run.run_id


def test_a_history_that_nobody_touched_is_sound(cairn, url, waiting):
    """Chain, digests and folding agree; the exit code is 0."""
    said = cairn("verify", "--store", url, "-o", "json")
    head = {"seq": 7, "id": waiting.head_id, "hash": waiting.head_hash}

    assert said.code == 0
    assert said.document == {
        "sound": True,
        "runs": [
            {
                "run": waiting.run_id,
                "workflow": "digest",
                "checkpoints": 7,
                "head": head,
                "sound": True,
                "unread": 0,
                "findings": [],
            }
        ],
    }


def test_a_run_without_checkpoints_is_sound(cairn, url, write):
    """There is nothing to doubt."""

    async def create(store):
        raw = document()
        await store.create_run(NewRun(run_id_for(RUN_UID), f"default/digest/{RUN_UID}", raw, "hash", "base"))

    write(create)

    said = cairn("verify", "digest", "--store", url, "-o", "json")
    assert (said.code, said.document["runs"][0]["checkpoints"]) == (0, 0)


@pytest.mark.parametrize(
    ("statement", "values", "found"),
    [
        ("UPDATE checkpoints SET payload = zeroblob(40) WHERE {seq} = 4", (), "PayloadUnusable"),
        ("UPDATE checkpoints SET step = 'draft!' WHERE {seq} = 4", (), "Altered"),
        ("DELETE FROM checkpoints WHERE {seq} = 4", (), "Missing"),
        ("DELETE FROM checkpoints WHERE {seq} = 7", (), "Missing"),
    ],
    ids=["a payload was overwritten", "a header was altered", "a checkpoint is gone", "the head is gone"],
)
def test_what_was_changed_is_found(cairn, url, waiting, statement, values, found):
    """Exit code 1, the finding in the document and for people, and where it is."""
    spoil(url, statement.format(seq=SEQ), *values)

    said = cairn("verify", "digest", "--store", url, "-o", "json")
    [run] = said.document["runs"]
    assert (said.code, said.document["sound"]) == (1, False)
    assert found in [finding["reason"] for finding in run["findings"]]
    assert said.document["error"]["reason"] == "HistoryUnsound"
    assert said.document["error"]["faults"][0]["path"].startswith(waiting.run_id)
    people = cairn("verify", "digest", "--store", url)
    assert people.code == 1
    assert "NOT SOUND" in people.out.splitlines()[0]
    assert people.out.splitlines()[1].startswith("  ! checkpoint")


def test_a_prune_is_explained_and_no_fault(cairn, url, write):
    """What was taken on purpose is named, and the history is sound."""

    async def pruned(store):
        assert await store.prune(await _snapshot_and_one_more(store), [1, 2, 3]) == 3

    write(pruned)

    said = cairn("verify", "--store", url)
    assert said.code == 0
    assert said.out.splitlines()[0].endswith("2 checkpoints, sound")
    assert said.out.splitlines()[1] == "  · checkpoints 1 to 3: pruned"


def test_what_a_runner_left_behind_is_explained(cairn, url, write):
    """A corrupt head that a later snapshot names is history, and no fault."""
    run = write(waiting_run)
    spoil(url, f"UPDATE checkpoints SET payload = zeroblob(40) WHERE {SEQ} = 7")

    async def go_on(store):
        writer = Writer(store, await store.run(run.run_id), compiled())
        folded = await fold_at(store, Codec(), run.run_id, 6)
        writer.planner.state = folded.state
        writer.control.fall_back(folded.checkpoint)
        await writer.done("check", {"score": 9})

    write(go_on)

    said = cairn("verify", "--store", url)
    assert said.code == 0
    assert "  · checkpoints 7 to 7: found corrupted and left behind by checkpoint 8" in said.out.splitlines()


def test_a_snapshot_that_tells_another_story_is_found(cairn, url, write):
    """Sealed and decodable, but not what the events before it fold to."""

    async def lie(store):
        writer = await Writer.begin(store)
        await writer.item("fetch", 0)
        await writer.item("fetch", 1)
        writer.planner.state.channels["score"] = 99
        await writer.done("draft", {"text": "first"}, snapshot=True)

    write(lie)

    said = cairn("verify", "--store", url, "-o", "json")
    [finding] = said.document["runs"][0]["findings"]
    assert (said.code, finding["first"]) == (1, 4)
    assert finding["message"] == "checkpoint 4: its snapshot is not what its history folds to"


def test_one_bad_run_does_not_hide_the_others(cairn, url, write):
    """Every run is proved, the sound ones too."""
    write(waiting_run)
    write(lambda store: waiting_run(store, nonce="2"))
    first_run = 1 << 32
    spoil(url, "UPDATE checkpoints SET payload = zeroblob(40) WHERE key = ?", first_run + 3)

    said = cairn("verify", "--store", url, "-o", "json")
    assert [run["sound"] for run in said.document["runs"]] == [True, False]


def head_of(cairn, url):
    """What `cairn verify` prints of the head, to be noted."""
    (line,) = [line for line in cairn("verify", "digest", "--store", url).out.splitlines() if "head" in line]
    return line.split()[1]


def test_a_hash_that_was_noted_is_found_again(cairn, url, waiting, write):
    """With its number or without, in capitals too, and when the history has grown."""
    noted = head_of(cairn, url)
    assert noted == f"7:{waiting.head_hash}"
    earlier = write(lambda store: store.checkpoints(waiting.run_id, before=5, limit=1))[0]

    for expected in (noted, waiting.head_hash, waiting.head_hash.upper(), f"4:{earlier.hash}"):
        assert cairn("verify", "digest", "--expect", expected, "--store", url).code == 0


def test_a_history_that_was_rolled_back_is_told_by_what_was_noted(cairn, url, waiting):
    """The newest checkpoint is gone and the row names the one before: alone the note knows better."""
    noted = head_of(cairn, url)
    spoil(url, f"DELETE FROM checkpoints WHERE {SEQ} = 7")
    before = f"SELECT {{}} FROM checkpoints WHERE {SEQ} = 6"
    ids = f"head_id = ({before.format('id')}), head_hash = ({before.format('hash')})"
    spoil(url, f"UPDATE heads SET head_seq = 6, {ids}")
    assert cairn("verify", "digest", "--store", url).code == 0

    told = {
        expected: cairn("verify", "digest", "--expect", expected, "--store", url)
        for expected in (noted, waiting.head_hash)
    }

    assert [said.code for said in told.values()] == [1, 1]
    assert "the history ends at 6" in told[noted].out
    assert "no checkpoint has the expected hash" in told[waiting.head_hash].out


def test_another_hash_at_a_number_is_told(cairn, url, waiting):
    """A history that was written anew is sound in itself."""
    said = cairn("verify", "digest", "--expect", f"3:{waiting.head_hash}", "--store", url, "-o", "json")

    (finding,) = said.document["runs"][0]["findings"]
    assert (said.code, said.document["sound"]) == (1, False)
    assert (finding["first"], finding["reason"], finding["fault"]) == (3, "Altered", True)


def test_what_was_pruned_is_told_by_the_one_behind_it_only(cairn, url, write):
    """It holds the hash of the one that it hangs on; of those before nothing is known any more."""

    async def pruned(store):
        run_id = await _snapshot_and_one_more(store)
        hashes = {row.seq: row.hash for row in await store.checkpoints(run_id)}
        await store.prune(run_id, [1, 2, 3])
        return hashes

    hashes = write(pruned)

    codes = {
        seq: cairn("verify", "digest", "--expect", f"{seq}:{hashes[seq]}", "--store", url) for seq in hashes
    }
    assert {seq: said.code for seq, said in codes.items()} == {5: 0, 4: 0, 3: 0, 2: 1, 1: 1}
    assert "pin what is to be proved" in codes[1].out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("digest", "--expect", "abc"), "SEQ:HASH"),
        (("digest", "--expect", f"0:{'ab' * 32}"), "SEQ:HASH"),
        (("--expect", "ab" * 32), "name the run"),
    ],
)
def test_an_expectation_that_cannot_be_is_refused(cairn, url, waiting, args, told):
    """A usage error, exit code 2."""
    said = cairn("verify", *args, "--store", url)

    assert (said.code, told in said.err) == (2, True)
