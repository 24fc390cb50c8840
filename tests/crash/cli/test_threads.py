"""Threads of one Workflow as real processes on one SQLite file: side by side, each with its own run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.crash.cli.terminal import cairn, running, until

pytestmark = pytest.mark.slow
NAMES = ("alice", "bob")


def words(name: str) -> list[str]:
    """`cairn run` for somebody, in the thread of that name."""
    visited = json.dumps([f"{name}{n}" for n in range(4)])
    return ["run", "tour.yaml", "--thread", name, "--set", f"names={visited}", "-o", "json"]


def runs(folder: Path, *more: str) -> list[dict[str, object]]:
    """The runs that are listed; none before there is a store."""
    said = cairn("runs", "-o", "json", *more, cwd=folder)
    return said.document if said.code == 0 else []


def test_two_threads_run_side_by_side_and_do_not_meet(folder, trace):
    """Both are under way at once, nobody is superseded, and each goes on with what is its own."""
    (folder / "hold").touch()
    with running(*words("alice"), cwd=folder) as alice, running(*words("bob"), cwd=folder) as bob:
        until(lambda: sorted(str(run["thread"]) for run in runs(folder) if run["epoch"] == 1) == [*NAMES])
        until(lambda: {"visit alice2", "visit bob2"} <= set(trace()))
        (folder / "hold").unlink()
        ended = {name: json.loads(one.communicate()[0]) for name, one in (("alice", alice), ("bob", bob))}

    assert [(ended[name]["thread"], ended[name]["phase"]) for name in NAMES] == [
        ("alice", "Waiting"),
        ("bob", "Waiting"),
    ]
    assert [ended[name]["state"]["places"] for name in NAMES] == [
        ["ALICE0", "ALICE1", "ALICE2", "ALICE3"],
        ["BOB0", "BOB1", "BOB2", "BOB3"],
    ]
    assert [run["run"] for run in runs(folder, "--thread", "alice")] == [ended["alice"]["run"]]

    assert cairn("approve", "tour@alice", cwd=folder).code == 0
    done = cairn(*words("alice"), cwd=folder)
    again = cairn(*words("bob"), cwd=folder)

    assert (done.code, done.document["run"], done.document["phase"]) == (
        0,
        ended["alice"]["run"],
        "Succeeded",
    )
    assert (again.code, again.document["run"], again.document["phase"]) == (3, ended["bob"]["run"], "Waiting")
    assert sorted(line for line in trace() if line.startswith("visit")) == sorted(
        f"visit {name}{n}" for name in NAMES for n in range(4)
    )


def test_a_name_with_a_thread_means_its_runs_only(folder):
    """What is printed can be pasted, and what is deleted is one thread's."""
    assert cairn(*words("bob"), cwd=folder).code == 3
    waits = cairn(*words("alice")[:-2], cwd=folder)
    assert "cairn approve tour@alice --step sign" in waits.out
    assert "cairn run tour.yaml --set" in waits.out
    assert "--thread alice" in waits.out
    assert "tour@alice" in cairn("runs", cwd=folder).out
    nobody = cairn("runs", "--thread", "carol", cwd=folder)
    assert (nobody.code, nobody.out) == (0, "")
    assert 'no runs yet in thread "carol"' in nobody.err

    assert cairn("delete", "tour@alice", "--yes", cwd=folder).code == 0

    assert [run["thread"] for run in runs(folder)] == ["bob"]


def test_what_is_no_thread_is_said_before_anything_is_made(folder):
    """A name that no label could hold."""
    said = cairn("run", "tour.yaml", "--thread", "alice/smith", cwd=folder)

    assert said.code == 2
    assert '--thread: "alice/smith" is no name of a thread' in said.err
    assert not (folder / ".cairn").exists()
