"""`cairn prune, pin, unpin, release, delete, stats`: what goes, what is said, and what is never taken."""

from __future__ import annotations

import io
import sqlite3

import pytest
from tests.unit.cli.builders import Writer, document

STEPS = [
    {"name": "turn", "run": "true", "next": [{"to": "turn", "when": "visits.turn < 9"}]},
]


async def looped(store, *, name="loop", nonce="1", turns=9, **spec):
    """A run of nine visits, each with a snapshot, so that any of them can go."""
    writer = await Writer.begin(store, document(STEPS, name=name, **spec), nonce=nonce)
    for visit in range(1, turns + 1):
        await writer.done("turn", {"score": visit}, snapshot=True)
    return await store.run(writer.run.run_id)


def seqs(write, run):
    """What is there, newest first."""

    async def listed(store):
        return [row.seq for row in await store.checkpoints(run.run_id)]

    return write(listed)


def test_prune_takes_what_each_runs_policy_lets_go(cairn, url, write):
    """Without options the Workflow's own history counts, run by run."""
    short = write(lambda store: looped(store, checkpoint={"history": {"keepLast": 2}}))
    long = write(lambda store: looped(store, name="other", checkpoint={"history": {"keepLast": 5}}))

    said = cairn("prune", "--store", url, "-o", "json")

    assert said.code == 0
    assert (seqs(write, short), seqs(write, long)) == ([10, 9], [10, 9, 8, 7, 6])
    assert (said.document["dryRun"], said.document["checkpoints"]) == (False, 8 + 5)
    assert {(one["run"], one["checkpoints"], one["left"]) for one in said.document["runs"]} == {
        (short.run_id, 8, 2),
        (long.run_id, 5, 5),
    }
    assert said.document["bytes"] == sum(one["bytes"] for one in said.document["runs"]) > 0


def test_prune_can_say_what_would_go(cairn, url, write):
    """A dry run counts the same and takes nothing."""
    run = write(looped)
    args = ("prune", "loop", "--keep-last", "3", "--store", url)

    told = cairn(*args, "--dry-run")
    before = seqs(write, run)
    done = cairn(*args)

    assert before == list(range(10, 0, -1))
    assert told.out.replace("would prune", "pruned") == done.out
    assert done.out.startswith("pruned 7 checkpoints, ")
    assert seqs(write, run) == [10, 9, 8]
    assert cairn(*args).out == "pruned 0 checkpoints, 0 B\n"


def test_prune_by_age_leaves_the_head(cairn, url, write):
    """Age lets go of what keepLast would keep."""
    run = write(looped)

    assert cairn("prune", run.run_id, "--max-age", "1ms", "--store", url).code == 0
    assert seqs(write, run) == [10]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--max-age", "soon"), '--max-age: "soon" is not a duration'),
        (("--keep-last", "0"), "--keep-last"),
    ],
)
def test_a_policy_that_is_none_is_refused(cairn, url, write, args, problem):
    """Before anything is touched."""
    run = write(looped)

    said = cairn("prune", *args, "--store", url)

    assert said.code == 2
    assert problem in said.err
    assert len(seqs(write, run)) == 10


def test_a_pinned_checkpoint_stays_until_it_is_let_go(cairn, url, write):
    """Whatever is pruned; the answer names the checkpoint."""
    run = write(looped)

    said = cairn("pin", "loop/4", "--store", url, "-o", "json")
    cairn("prune", "--keep-last", "1", "--store", url)
    pinned = seqs(write, run)
    cairn("unpin", "loop/4", "--store", url)
    cairn("prune", "--keep-last", "1", "--store", url)

    assert (said.document["seq"], said.document["pinned"]) == (4, True)
    assert pinned == [10, 4]
    assert seqs(write, run) == [10]
    assert cairn("pin", "loop/4", "--store", url).code == 4


def test_release_hands_back_the_last_checkpoint(cairn, url, write):
    """All but the head goes, and what the run came to is told."""
    run = write(looped)

    said = cairn("release", "loop", "--store", url, "-o", "json")

    [released] = said.document["released"]
    assert (released["run"], released["checkpoints"], released["left"]) == (run.run_id, 9, 1)
    assert (released["checkpoint"]["seq"], released["state"]["score"]) == (10, 9)
    assert seqs(write, run) == [10]


def test_release_leaves_an_unfinished_run_alone(cairn, url, write):
    """It may want to go back; who is done with it cancels it first."""
    run = write(lambda store: looped(store, turns=5))

    said = cairn("release", "loop", "--store", url)

    assert said.code == 2
    assert f"cairn cancel {run.run_id}" in said.err
    assert len(seqs(write, run)) == 6


def test_release_of_a_damaged_head_takes_nothing(cairn, url, write, tmp_path):
    """The older ones are all that is left of the run."""
    run = write(looped)
    with sqlite3.connect(tmp_path / "cairn.db") as db:
        db.execute("UPDATE checkpoints SET payload = zeroblob(20) WHERE id = ?", (run.head_id,))
    db.close()

    said = cairn("release", "loop", "--store", url)

    assert said.code == 78
    assert "is not intact; nothing of it was removed" in said.err
    assert len(seqs(write, run)) == 10


def test_delete_needs_a_yes(cairn, url, write, monkeypatch):
    """Where nobody can be asked it must be said."""
    run = write(looped)

    assert cairn("delete", "loop", "--store", url).code == 2
    assert len(seqs(write, run)) == 10


@pytest.mark.parametrize(("answer", "left"), [("yes\n", 0), ("y\n", 0), ("no\n", 10), ("", 10)])
def test_delete_asks_on_a_terminal(cairn, url, write, monkeypatch, answer, left):
    """And takes nothing but a yes for one."""
    run = write(looped)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    said = cairn("delete", "loop", "--store", url)

    assert "delete 1 run, for good:" in said.err
    assert (said.code == 0) == (left == 0)
    assert len(seqs(write, run)) == left


def test_delete_of_a_workflow_takes_all_its_runs(cairn, url, write):
    """A name means all of them; an id one, and others stay."""
    first, second = (write(lambda store, n=n: looped(store, nonce=n)) for n in "12")
    other = write(lambda store: looped(store, name="other"))

    one = cairn("delete", first.run_id, "--yes", "--store", url, "-o", "json")
    both = cairn("delete", "loop", "--yes", "--store", url, "-o", "json")

    assert one.document == {"deleted": [{"run": first.run_id, "workflow": "loop"}], "kept": []}
    assert [gone["run"] for gone in both.document["deleted"]] == [second.run_id]
    assert len(seqs(write, other)) == 10
    assert cairn("delete", "loop", "--yes", "--store", url).code == 4


def test_a_run_that_a_fork_needs_is_kept(cairn, url, write):
    """It is named with the reason, and what could go went."""
    run = write(looped)
    write(lambda store: store.hold(run.head_id, "a child that is on its way"))

    said = cairn("delete", "loop", "--yes", "--store", url, "-o", "json")

    assert said.code == 1
    assert [kept["reason"] for kept in said.document["kept"]] == ["HistoryConflict"]
    assert len(seqs(write, run)) == 10


def test_stats_count_what_is_there_now(cairn, url, write):
    """Not what was ever written: a prune shows."""
    write(looped)
    waiting = write(lambda store: looped(store, name="other", turns=3))
    cairn("prune", "loop", "--keep-last", "1", "--store", url)

    said = cairn("stats", "--store", url, "-o", "json").document

    assert said["runs"] == {"Running": 1, "Succeeded": 1}
    assert said["checkpoints"] == 1 + 4
    assert said["bytes"] == sum(run["bytes"] for run in said["largest"])
    assert said["store"]["kind"] == "sqlite"
    assert said["store"]["usedBytes"] > said["bytes"]
    assert said["oldest"] <= said["newest"]
    assert said["largest"][0]["run"] == waiting.run_id


def test_stats_of_one_workflow(cairn, url, write):
    """For people: a line for the store, and the runs that use most."""
    write(looped)
    write(lambda store: looped(store, name="other", turns=3))

    said = cairn("stats", "other", "--store", url)

    assert "1 run: 1 Running" in said.out
    assert "4 checkpoints, " in said.out
    assert "loop" not in said.out.partition("WORKFLOW")[2]


def test_stats_pass_over_what_is_damaged(cairn, url, write):
    """A moment that cannot be read is none: everything else is counted."""
    write(looped)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
        db.execute("UPDATE checkpoints SET created_at = 'noon'")
    db.close()

    said = cairn("stats", "--store", url, "-o", "json")

    assert (said.code, said.document["checkpoints"] > 1) == (0, True)
    assert said.document["oldest"] is said.document["newest"] is None
