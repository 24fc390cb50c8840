"""The checker of the races, held against histories that were written by hand: sound ones and broken ones."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.races import checker
from tests.races.checker import check, contested, counted
from tests.races.evidence import Call, Evidence, Row

RULES = ("checker", "evidence", "histories", "answers", "rows_seen", "claims", "signals")


class Story:
    """Calls that follow each other, and the store that they would have met."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.history: list[Row] = []
        self.holder = (0, "")
        self.reason = ("Pending", "")
        self.writes: dict[str, list[Row]] = {}
        self.now = 0

    def call(
        self, kind: str, told: dict, got: dict, *, answer: str = "done", who: str = "a", **span: int
    ) -> object:
        """Write down a call; `since` and `until` make it overlap others."""
        self.now += 2
        since, until = span.get("since", self.now), span.get("until", self.now + 1)
        until = until if answer else 2**63
        made = Call("a", 1, kind, since, told, until, answer, got if answer == "done" else {})
        self.calls.append(made)
        return made

    def wait(self, until: int) -> int:
        """Let time pass."""
        self.now = until
        return until

    def claim(self, epoch: int, claim: str, *, expected: int | None = None, **how: Any) -> object:
        """Claim an epoch."""
        told = {"expected": epoch - 1 if expected is None else expected, "claim": claim}
        if how.get("answer", "done") == "done" and how.pop("applied", True):
            self.holder = (epoch, claim)
        return self.call("claim", told, {"epoch": epoch, "claim": claim}, **how)

    def commit(
        self,
        write: str,
        count: int = 1,
        *,
        epoch: int | None = None,
        claim: str | None = None,
        head: int | None = None,
        phase: str | None = None,
        consumed: tuple[int, ...] = (),
        applied: int | None = None,
        **how: Any,
    ) -> object:
        """Commit checkpoints; `applied`: so many of them really get there (None: all, if acknowledged)."""
        epoch, claim = (self.holder[0] if epoch is None else epoch), claim or self.holder[1]
        head = len(self.history) if head is None else head
        again = write in self.writes
        rows = self.writes.setdefault(write, self._rows(write, count, head, epoch))
        told = {"write": write, "epoch": epoch, "claim": claim, "head": head, "phase": phase}
        told |= {"consumed": consumed, "rows": [list(row) for row in rows]}
        done = how.get("answer", "done") == "done" and not again
        self.history += rows[: (count if done else 0) if applied is None else applied]
        if phase and done:
            self.reason = (phase, write)
        return self.call("commit", told, {}, **how)

    def _rows(self, write: str, count: int, head: int, epoch: int) -> list[Row]:
        rows: list[Row] = []
        for n in range(count):
            before = rows[-1].hash if rows else self.history[head - 1].hash if head else "0" * 64
            id_ = f"{write}.{n}"
            rows.append(Row(head + n + 1, id_, before, f"hash of {id_}", epoch, id_, 10, f"print of {id_}"))
        return rows

    def load(self, rows: list[Row] | None = None, **how: Any) -> object:
        """Read the whole history."""
        rows = self.history if rows is None else rows
        return self.call("load", {}, {"rows": [list(row) for row in rows]}, **how)

    def look(self, *, quiet: bool = False, answer: str = "done", **shown: Any) -> object:
        """Read the row."""
        head = shown.get("seq", len(self.history))
        last = self.history[head - 1] if 0 < head <= len(self.history) else None
        row = {
            "seq": head,
            "id": last.id if last else "",
            "hash": last.hash if last else "",
            "epoch": self.holder[0],
            "claim": self.holder[1],
            "phase": self.reason[0],
            "reason": self.reason[1],
            "checkpoints": head,
            "bytes": 10 * head,
        }
        return self.call("look", {"quiet": True} if quiet else {}, row | shown, answer=answer)

    def send(self, client: str, number: int, **how: Any) -> object:
        """Send a signal."""
        return self.call("send", {"client": client}, {"number": number}, **how)

    def queue(self, *signals: tuple[int, str]) -> object:
        """Read the queue, while nobody writes."""
        return self.call("signals", {"quiet": True}, {"signals": [list(signal) for signal in signals]})


def begun() -> Story:
    """A run that was created, claimed, and has two checkpoints."""
    story = Story()
    story.call("create", {}, {})
    story.claim(1, "one")
    story.commit("w1")
    story.commit("w2")
    return story


def swapped(story: Story, at: int, **columns: Any) -> list[Row]:
    """The history with one checkpoint changed."""
    return [row._replace(**columns) if n == at else row for n, row in enumerate(story.history)]


def overlapping_claim(story: Story) -> None:
    """A commit was on its way when another one claimed, and got there first."""
    story.commit("w3", since=100, until=200)
    story.claim(2, "two", since=110, until=190)
    story.now = 200
    story.look()
    story.load()


def late_behind_a_look(story: Story) -> None:
    """The claim and the commit overlap, but the successor had read the head already."""
    story.claim(2, "two", since=110, until=120)
    story.now = 130
    story.look()
    story.commit("w3", epoch=1, claim="one", since=100, until=200)
    story.now = 200
    story.load()


def used_up(story: Story, **how: Any) -> object:
    """Two signals, of which the first is consumed."""
    story.send("x", 1)
    story.send("y", 2)
    story.commit("w3", 0, phase="Waiting", consumed=(1,), **how)
    return story.load()


SOUND: dict[str, Callable[[Story], object]] = {
    "a writer writes and reads": lambda s: (s.look(), s.load()),
    "a successor claims and writes": lambda s: (s.claim(2, "two"), s.commit("w3", 3), s.look(), s.load()),
    "a stale write is refused": lambda s: (
        s.claim(2, "two"),
        s.commit("w3", epoch=1, claim="one", answer="Superseded"),
        s.load(),
    ),
    "a commit and a claim overlap": overlapping_claim,
    "a write is delivered twice": lambda s: (s.commit("w2"), s.look(), s.load()),
    "an old write is delivered after a claim": lambda s: (s.claim(2, "two"), s.commit("w1"), s.load()),
    "an unanswered write is there": lambda s: (s.commit("w3", 2, answer="", applied=2), s.load()),
    "an unanswered write is not there": lambda s: (s.commit("w3", 2, answer=""), s.load()),
    "an unanswered claim is there": lambda s: (
        s.claim(2, "two", answer=""),
        s.look(epoch=2, claim="two"),
        s.load(),
    ),
    "a busy store is asked again": lambda s: (
        s.commit("w3", answer="StoreUnavailable", applied=0),
        s.commit("w3", applied=1),
        s.load(),
    ),
    "a change of the row is the newest": lambda s: (
        s.commit("w3", 0, phase="Waiting"),
        s.commit("w4", phase="Running"),
        s.look(),
        s.load(),
    ),
    "signals are used up and queued": lambda s: (used_up(s), s.queue((2, "y"))),
    "a deleted run is gone": lambda s: (
        s.load(),
        s.call("delete", {}, {"there": True}),
        s.commit("w3", answer="RunNotFound"),
        s.look(answer="RunNotFound"),
        s.call("list", {}, {"rows": []}),
    ),
}

BROKEN: dict[str, tuple[str, Callable[[Story], object]]] = {
    "an acknowledged write is not in the history": (
        "acknowledged lost",
        lambda s: (s.commit("w3", applied=0), s.load()),
    ),
    "a reader does not see what was acknowledged": (
        "acknowledged lost",
        lambda s: (s.load(s.history[:1]), s.load()),
    ),
    "the row does not show what was acknowledged": ("acknowledged lost", lambda s: (s.look(seq=1), s.load())),
    "the row shows a head that the history has not": (
        "acknowledged lost",
        lambda s: (s.look(seq=3), s.load()),
    ),
    "the run is gone, and nobody deleted it": ("lost", lambda s: (s.look(answer="RunNotFound"), s.load())),
    "a stale write is acknowledged": (
        "stale accepted",
        lambda s: (s.claim(2, "two"), s.commit("w3", epoch=1, claim="one"), s.load()),
    ),
    "a stale write is there, though nobody was told": (
        "stale accepted",
        lambda s: (s.claim(2, "two"), s.commit("w3", epoch=1, claim="one", answer="", applied=1), s.load()),
    ),
    "a stale write stands behind a newer one": (
        "stale accepted",
        lambda s: (
            s.claim(2, "two", since=110, until=190),
            s.commit("w3", since=120, until=130),
            s.commit("w4", epoch=1, claim="one", since=100, until=200),
            s.wait(200),
            s.load(),
        ),
    ),
    "a stale write stands behind what its successor read": ("stale accepted", late_behind_a_look),
    "a stale change of the row is acknowledged": (
        "stale accepted",
        lambda s: (s.claim(2, "two"), s.commit("w3", 0, epoch=1, claim="one", phase="Waiting"), s.load()),
    ),
    "a stale heartbeat is acknowledged": (
        "stale accepted",
        lambda s: (s.claim(2, "two"), s.call("beat", {"epoch": 1, "claim": "one"}, {}), s.load()),
    ),
    "stale progress is acknowledged": (
        "stale accepted",
        lambda s: (s.claim(2, "two"), s.call("progress", {"epoch": 1, "claim": "one"}, {}), s.load()),
    ),
    "a write of the right epoch carries another claim": (
        "stale accepted",
        lambda s: (s.commit("w3", claim="other"), s.load()),
    ),
    "one epoch is given to two": ("two holders", lambda s: (s.claim(1, "other"), s.load())),
    "a claim is given another epoch than the next": (
        "two holders",
        lambda s: (s.claim(3, "two", expected=1), s.load()),
    ),
    "the row shows a claim that was refused": (
        "two holders",
        lambda s: (
            s.claim(2, "two", answer="Superseded"),
            s.look(epoch=2, claim="two"),
            s.load(),
        ),
    ),
    "an acknowledged claim is not in the row": (
        "claim lost",
        lambda s: (s.claim(2, "two", applied=False), s.look(), s.load()),
    ),
    "an epoch is skipped": ("claim lost", lambda s: (s.claim(3, "three"), s.load())),
    "two are accepted on one head": (
        "fork",
        lambda s: (
            s.commit("w3", head=1, applied=0),
            s.load([s.history[0], s.writes["w3"][0]]),
            s.commit("w4"),
            s.load(),
        ),
    ),
    "the row shows another head than the history": ("fork", lambda s: (s.look(id="other"), s.load())),
    "the listing shows another checkpoint": (
        "fork",
        lambda s: (
            s.load(),
            s.call("list", {}, {"rows": [list(row) for row in reversed(swapped(s, 1, hash="x"))]}),
        ),
    ),
    "the listing shows a checkpoint twice": (
        "fork",
        lambda s: (s.load(), s.call("list", {}, {"rows": [list(s.history[1]), list(s.history[1])]})),
    ),
    "a checkpoint is missing in the middle": (
        "broken chain",
        lambda s: (s.commit("w3"), s.load([s.history[0], s.history[2]])),
    ),
    "a parent is not the checkpoint before": (
        "broken chain",
        lambda s: s.load(swapped(s, 1, parent="hash of another")),
    ),
    "the first checkpoint has a parent": ("broken chain", lambda s: s.load(swapped(s, 0, parent="1" * 64))),
    "a payload is not what was sent": ("altered", lambda s: s.load(swapped(s, 1, print="other"))),
    "a checkpoint was never sent": (
        "never sent",
        lambda s: s.load([*s.history, Row(3, "x", s.history[1].hash, "hash of x", 1, "x", 1, "x")]),
    ),
    "a checkpoint is there twice": (
        "written twice",
        lambda s: s.load([*s.history, s.history[1]._replace(seq=3)]),
    ),
    "half of a commit is there": ("torn", lambda s: (s.commit("w3", 3, answer="", applied=2), s.load())),
    "a reader sees half of a commit": (
        "torn",
        lambda s: (
            s.commit("w3", 2, since=50, until=90),
            s.load(s.history[:3]),
            s.load(),
        ),
    ),
    "the row shows half of a commit": (
        "torn",
        lambda s: (
            s.look(seq=3, id="w3.0", hash="hash of w3.0"),
            s.commit("w3", 2, since=3, until=90),
            s.load(since=100, until=101),
        ),
    ),
    "the row changes without the checkpoints": (
        "torn",
        lambda s: (
            s.commit("w3", 2, phase="Waiting", since=50, until=90),
            s.look(seq=2, id="w2.0", hash="hash of w2.0"),
            s.load(since=100, until=101),
        ),
    ),
    "the checkpoints are there without the change of the row": (
        "change undone",
        lambda s: (s.commit("w3", phase="Waiting"), s.look(phase="Pending", reason=""), s.load()),
    ),
    "a refused write is there": (
        "refused and there",
        lambda s: (s.commit("w3", answer="Superseded", applied=1), s.load()),
    ),
    "a refused change is in the row": (
        "refused and there",
        lambda s: (
            s.commit("w3", 0, phase="Waiting", answer="Superseded"),
            s.look(phase="Waiting", reason="w3"),
            s.load(),
        ),
    ),
    "a write is refused to one who sends it again": (
        "two answers",
        lambda s: (s.commit("w2", answer="Superseded"), s.load()),
    ),
    "a late copy of a change undoes the one after it": (
        "change undone",
        lambda s: (
            s.commit("w3", 0, phase="Waiting"),
            s.commit("w4", 0, phase="Running"),
            s.commit("w3", 0, phase="Waiting"),
            s.look(phase="Waiting", reason="w3"),
            s.load(),
        ),
    ),
    "the row goes back": (
        "gone back",
        lambda s: (s.commit("w3", answer="", applied=1), s.look(), s.look(seq=2), s.load()),
    ),
    "the row counts wrongly": ("wrong counters", lambda s: (s.look(bytes=21), s.load())),
    "a signal is gone": ("acknowledged lost", lambda s: (used_up(s), s.queue())),
    "a refused write has used a signal up": (
        "acknowledged lost",
        lambda s: (used_up(s, answer="Superseded"), s.queue((2, "y"))),
    ),
    "a signal is used up and still queued": (
        "signal twice",
        lambda s: (used_up(s), s.queue((1, "x"), (2, "y"))),
    ),
    "two signals have one number": ("signal twice", lambda s: (s.send("x", 1), s.send("y", 1), s.load())),
    "a signal sent again is another one": (
        "signal twice",
        lambda s: (s.send("x", 1), s.send("x", 2), s.load()),
    ),
    "a signal is accepted after the end": (
        "strange answer",
        lambda s: (s.commit("w3", phase="Succeeded"), s.send("x", 1), s.load()),
    ),
    "a signal is refused before the end": (
        "strange answer",
        lambda s: (s.send("x", 1, answer="WaitClosed"), s.load()),
    ),
    "a deleted run is created again": (
        "revived",
        lambda s: (s.load(), s.call("delete", {}, {"there": True}), s.call("create", {}, {})),
    ),
    "a deleted run is written to": (
        "revived",
        lambda s: (s.load(), s.call("delete", {}, {"there": True}), s.commit("w3")),
    ),
    "a deleted run leaves rows": (
        "revived",
        lambda s: (
            s.load(),
            s.call("delete", {}, {"there": True}),
            s.call("list", {}, {"rows": [list(s.history[0])]}),
        ),
    ),
    "a driver's error comes through": (
        "strange answer",
        lambda s: (s.commit("w3", answer="OperationalError"), s.load()),
    ),
}


@pytest.mark.parametrize("tell", SOUND.values(), ids=list(SOUND))
def test_a_sound_history_has_no_violation(tell):
    """What a store may do under contention is never called a fault."""
    story = begun()
    tell(story)

    assert check(story.calls) == []


@pytest.mark.parametrize(("rule", "tell"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_history_is_found(rule, tell):
    """Each fault is called by its name."""
    story = begun()
    tell(story)

    assert rule in {violation.rule for violation in check(story.calls)}


def test_every_rule_finds_something():
    """A rule that no broken history breaks would be one that nobody has seen work."""
    silent = set(checker.RULES)
    for _, tell in BROKEN.values():
        story = begun()
        tell(story)
        evidence = Evidence(story.calls)
        silent -= {rule for rule in silent if list(rule(evidence))}

    assert {rule.__name__ for rule in silent} <= {"pending_counts"}


def test_a_row_that_counts_other_signals_than_are_queued_is_found():
    """The row and the queue are read while nobody writes, so they have to agree."""
    story = begun()
    story.send("x", 1)
    story.look(quiet=True, pending=0)
    story.queue((1, "x"))
    story.load()

    assert [violation.rule for violation in check(story.calls)] == ["wrong counters"]


def test_a_race_is_contested_where_writes_overlap():
    """One after the other is no contest, and a reader is none either."""
    story = begun()
    story.calls = [
        Call("a", 1, "commit", 10, {}, 20, "done"),
        Call("b", 1, "commit", 21, {}, 30, "done"),
        Call("a", 2, "commit", 10, {}, 20, "done"),
        Call("b", 2, "claim", 15, {}, 30, "Superseded"),
        Call("a", 3, "commit", 10, {}, 20, "done"),
        Call("r", 3, "load", 15, {}, 30, "done"),
    ]

    assert contested(story.calls) == {2}


def test_races_are_counted_by_kind_and_answer():
    """What was refused, and how much of it was known to be stale when it was sent."""
    story = begun()
    story.claim(2, "two")
    story.commit("w3", epoch=1, claim="one", answer="Superseded")
    story.load()

    found = counted(story.calls, {1: "zombie"})["zombie"]

    assert (found["races"], found["acknowledged"], found["refused"], found["stale"]) == (1, 5, 1, 1)


@pytest.mark.parametrize("module", RULES)
def test_the_checker_shares_no_code_with_what_it_judges(module):
    """It imports itself and the standard library."""
    tree = ast.parse((Path(checker.__file__).parent / f"{module}.py").read_text())
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    allowed = {"tests.races", *(f"tests.races.{rule}" for rule in RULES)}
    assert {name for name in named if name.startswith("tests.")} <= allowed
    assert not {name for name in named if name.startswith("cairn")}
