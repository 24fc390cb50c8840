"""Any sequence of calls, by hypothesis, held against the model.

Fences are stale, heads are wrong, calls are sent again after others followed, the store is closed and opened
in between; after each step every run must look as the model says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, Literal, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cairn_runtime.errors import CairnError
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Checkpoint, Fence, Gap, NewSignal, Outcome, Run, Store
from cairn_runtime.store.chain import sealed, verify_history
from cairn_runtime.store.contract.cases import StoreFactory, Writer, new_run
from cairn_runtime.store.contract.model import Model, ModelRun

T = TypeVar("T")
_NAMES = st.sampled_from(["a", "b", "c"])
_SEQS = st.integers(min_value=1, max_value=12)
_PHASES = st.sampled_from(["Running", "Running", "Waiting", "Succeeded"])
_OUTCOMES = st.none() | st.builds(
    lambda phase, consumed: Outcome(phase, consumed=tuple(consumed)),
    _PHASES,
    st.lists(st.integers(min_value=1, max_value=5), max_size=3),
)
_Commit = tuple[str, Fence, int, str, list[Checkpoint], Outcome | None]


class StoreMachine(RuleBasedStateMachine):
    """A store and the model, told the same things."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.model = Model()
        self.salt = new_id()
        """Part of every run_id: all examples of one test share a place."""
        self.fences: list[Fence] = []
        self.sent: list[_Commit] = []
        self.store: Store = self.factory()
        self.do(self.store.open())
        self.cursor = self.do(self.store.changed(""))[1]

    def teardown(self) -> None:
        """Close the store."""
        self.do(self.store.close())
        self.loop.close()

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call of the store."""
        return self.loop.run(call)

    def answer(self, call: Coroutine[Any, Any, T]) -> T | type[CairnError]:
        """Wait for a call; an error of ours is an answer too."""
        try:
            return self.do(call)
        except CairnError as error:
            return type(error)

    def id_of(self, name: str) -> str:
        """The run_id behind a short name."""
        return f"{name}-{self.salt}"

    def head_of(self, name: str) -> ModelRun:
        """What the model knows of a run, or of one that was never created."""
        return self.model.runs.get(self.id_of(name), ModelRun())

    @rule(name=_NAMES)
    def create(self, name: str) -> None:
        """Create a run, or one that is there, or one that was deleted."""
        run_id = self.id_of(name)
        expected = self.model.create(run_id)

        answer = self.answer(self.store.create_run(new_run(run_id=run_id, workflow=self.salt)))

        assert answer is expected if expected else isinstance(answer, Run)

    @rule(name=_NAMES, back=st.sampled_from([0, 0, 0, 1, -1]), again=st.booleans())
    def claim(self, name: str, back: int, again: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Claim on the right epoch or another, with a new claim or the last one again."""
        run_id, run = self.id_of(name), self.head_of(name)
        claim_id = run.claim_id if again and run.claim_id else new_id()
        epoch = run.epoch - back
        expected = self.model.claim(run_id, epoch, claim_id)

        answer = self.answer(self.store.claim(run_id, epoch, claim_id))

        assert answer == expected
        if isinstance(answer, Fence):
            self.fences.append(answer)

    @precondition(lambda self: self.fences)
    @rule(
        name=_NAMES,
        stale=st.integers(min_value=0, max_value=6),
        off=st.sampled_from([0, 0, 0, 0, 1, -1]),
        kinds=st.lists(st.sampled_from(["delta", "delta", "snapshot"]), max_size=3),
        outcome=_OUTCOMES,
    )
    def commit(self, name: str, stale: int, off: int, kinds: list[str], outcome: Outcome | None) -> None:
        """Commit with the row's fence or an old one, on the head or beside it, checkpoints or none."""
        run_id, run = self.id_of(name), self.head_of(name)
        fence = Fence(run.epoch, run.claim_id) if stale else self.fences[-1]
        head = max(run.head + off, 0)
        tip = run.rows.get(head)
        writer = Writer(self.store, run_id, fence, head)
        if tip is not None:
            writer.hash = tip.hash
        rows = _resealed(writer.batch(len(kinds)), kinds)
        self.tell((run_id, fence, head, rows[0].write_id if rows else new_id(), rows, outcome))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(min_value=0, max_value=30))
    def commit_again(self, which: int) -> None:
        """Send an earlier commit again, byte for byte, whatever became of it."""
        self.tell(self.sent[-1 - which % len(self.sent)])

    def tell(self, call: _Commit) -> None:
        """Commit to both."""
        run_id, fence, head, write_id, rows, outcome = call
        expected = self.model.commit(run_id, fence, head, rows, (write_id, outcome))

        answer = self.answer(self.store.commit(run_id, fence, head, write_id, rows, outcome))

        assert answer == expected
        self.sent.append(call)

    @rule(name=_NAMES, client=st.sampled_from(["one", "two", "three", "four"]))
    def send(self, name: str, client: str) -> None:
        """Send a signal, or the same again."""
        expected = self.model.send(self.id_of(name), client)

        answer = self.answer(self.store.send(self.id_of(name), NewSignal("go", client, client)))

        assert (answer if isinstance(answer, type) else answer.number) == expected

    @rule(name=_NAMES, seq=_SEQS, pinned=st.booleans())
    def pin(self, name: str, seq: int, pinned: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Pin a checkpoint or let it go."""
        row = self.head_of(name).rows.get(seq)
        expected = self.model.pin(self.id_of(name), seq, pinned=pinned)

        answer = self.answer(self.store.pin(row.id if row else "none", pinned=pinned))

        assert answer == expected

    @rule(name=_NAMES, seq=_SEQS, child=st.sampled_from(["a", "b", "c", "never"]))
    def hold(self, name: str, seq: int, child: str) -> None:
        """Hold a checkpoint for a run that exists, existed, or never will."""
        row = self.head_of(name).rows.get(seq)
        expected = self.model.hold(self.id_of(name), seq, self.id_of(child))

        answer = self.answer(self.store.hold(row.id if row else "none", self.id_of(child)))

        assert answer == expected

    @rule(child=st.sampled_from(["a", "b", "c", "never"]))
    def release(self, child: str) -> None:
        """Let go of what a child holds."""
        self.model.release(self.id_of(child))

        self.do(self.store.release_hold(self.id_of(child)))

    @rule(name=_NAMES, drop=st.lists(_SEQS, max_size=8))
    def prune(self, name: str, drop: list[int]) -> None:
        """Drop any seqs."""
        expected = self.model.prune(self.id_of(name), drop)

        assert self.answer(self.store.prune(self.id_of(name), drop)) == expected

    @rule(name=_NAMES, sure=st.sampled_from([True, False, False]))
    def delete(self, name: str, sure: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Delete a run, not too often."""
        if sure:
            expected = self.model.delete(self.id_of(name))

            assert self.answer(self.store.delete_run(self.id_of(name))) == expected

    @rule()
    def reopen(self) -> None:
        """Close the store and open the place again; what is only in memory stays with the other opening."""
        other = self.factory()
        self.do(other.open())
        self.do(self.store.close())
        self.store = other

    @invariant()
    def every_run_looks_like_the_models(self) -> None:
        """Row, checkpoints, signals, pins, holds and gaps."""
        for run_id, run in self.model.runs.items():
            heads = self.do(self.store.heads([run_id]))
            rows = self.do(self.store.checkpoints(run_id))
            assert [row._replace(payload=None) for row in reversed(run.rows.values())] == rows
            assert (run_id in heads) is not run.deleted
            if not run.deleted:
                self.looks_like(run_id, run)

    def looks_like(self, run_id: str, run: ModelRun) -> None:
        """Compare what is left of a run that is there."""
        row = self.do(self.store.run(run_id))
        assert (row.epoch, row.claim_id) == (run.epoch, run.claim_id)
        assert (row.head_seq, row.phase) == (run.head, run.phase)
        assert (row.checkpoints, row.signals_pending) == (run.ever, len(run.pending))
        assert [signal.number for signal in self.do(self.store.signals(run_id))] == run.pending
        assert self.do(self.store.pins(run_id)) == run.pins
        held = self.do(self.store.holds(run_id))
        assert {(seq, child) for seq, children in held.items() for child in children} == run.holds
        gaps = self.do(self.store.gaps(run_id))
        assert {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)} == run.pruned
        assert _apart(gaps)
        loaded = self.do(self.store.load(run_id))
        assert {row.seq for row in loaded} == (run.needed_for(run.head) if run.head else set())
        headers = self.do(self.store.checkpoints(run_id))
        assert not [finding for finding in verify_history(headers, gaps) if finding.fault]

    @invariant()
    def changes_name_what_changed(self) -> None:
        """Whoever asks with an old cursor still learns of every run of this example."""
        named, _ = self.do(self.store.changed(self.cursor))
        assert set(self.model.runs) <= set(named)


class TestAgainstAModel:
    """The state machine as a test."""

    def test_every_sequence_of_calls_gives_what_the_model_gives(self, store_factory: StoreFactory) -> None:
        """A store is its contract, whatever order the calls come in."""
        machine = type("Machine", (StoreMachine,), {"factory": staticmethod(store_factory)})
        suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=suppressed
            ),
        )


def _resealed(rows: list[Checkpoint], kinds: list[str]) -> list[Checkpoint]:
    """Give checkpoints their kinds, and chain them again."""
    out: list[Checkpoint] = []
    for row, kind in zip(rows, kinds, strict=True):
        parent = out[-1].hash if out else row.parent_hash
        out.append(sealed(row._replace(kind=cast("Literal['delta', 'snapshot']", kind), parent_hash=parent)))
    return out


def _apart(gaps: list[Gap]) -> bool:
    """Whether gaps are ascending and none touches the next."""
    return all(one.last_seq + 1 < two.first_seq for one, two in pairwise(gaps))
