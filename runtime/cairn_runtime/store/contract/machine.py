"""Any sequence of calls over a bad network, by hypothesis, held against the model.

Fences are stale, heads are wrong, claims are overtaken; signals come before, between and after a park;
checkpoints are pruned while forks hold them; payloads are damaged on their way; the store is closed and
opened in between. Any call may be lost, lose its reply, be delivered twice, or arrive after others have
followed, and any call may be sent again byte for byte whatever became of it.
After each step the store must look as the model says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.model.ids import new_id
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import (
    Checkpoint,
    Fence,
    Gap,
    NewSignal,
    Outcome,
    Run,
    Store,
    Swap,
    Wait,
)
from cairn_runtime.store.chain import sealed, verify_payloads
from cairn_runtime.store.contract import calls
from cairn_runtime.store.contract.calls import Call
from cairn_runtime.store.contract.cases import CODEC, StoreFactory, Writer, new_run, repacked
from cairn_runtime.store.contract.faults import Fault, FaultyStore
from cairn_runtime.store.contract.model import Model, ModelRun
from cairn_runtime.store.contract.pictures import picture

T = TypeVar("T")
_NAMES = st.sampled_from(["a", "a", "a", "b", "b", "c"])
_CHILDREN = st.sampled_from(["a", "b", "c", "never"])
_SEQS = st.integers(min_value=1, max_value=7)
_DROPS = st.lists(_SEQS, max_size=5) | st.just(list(range(1, 200)))
_FAULTS = st.sampled_from([None, None, None, None, *Fault])
_KINDS = st.lists(st.sampled_from(["delta", "snapshot"]), min_size=1, max_size=3)
_STALE = st.sampled_from([0, 0, 1, 2, 9])
"""How many fences back a writer believes in; 0: the row's; 9: the row's with another claim."""
_WAITS = st.lists(
    st.sampled_from(
        [
            Wait("sign#1", "approval", "sign#1"),
            Wait("sign#2", "approval", "sign#2", deadline=datetime(2200, 1, 1, tzinfo=UTC)),
            Wait("late#1", "approval", "late#1", deadline=datetime(2001, 1, 1, tzinfo=UTC)),
            Wait("go#1", "signal", "go", until=datetime(2200, 1, 1, tzinfo=UTC)),
        ]
    ),
    max_size=3,
    unique_by=lambda wait: wait.name,
)
_OUTCOMES = st.builds(
    lambda phase, waits, consumed: Outcome(
        phase, phase.lower(), waits=tuple(waits), consumed=tuple(consumed)
    ),
    st.sampled_from(["Running", "Waiting", "Waiting", "Succeeded"]),
    _WAITS,
    st.lists(st.integers(min_value=1, max_value=5), max_size=3),
)
_ANSWERED = st.sampled_from(["", "", "sign#1", "sign#2", "late#1", "go"])


class StoreMachine(RuleBasedStateMachine):
    """A store and the model, told the same things."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.salt = new_id()
        """Part of every run_id: all examples of one test share a place."""
        self.fences: dict[str, list[Fence]] = {}
        self.made: list[Call] = []
        self.commits: list[Call] = []
        self.on_the_way: list[Call] = []
        self.touched: set[str] = set()
        """Runs to be looked at after this step."""
        self.damaged: set[str] = set()
        """Ids of checkpoints whose payload was damaged before it was stored."""
        self.network = FaultyStore(self.factory())
        self.do(self.network.open())
        self.cursor = self.first_cursor = self.do(self.network.changed(""))[1]

    def teardown(self) -> None:
        """Look at everything once more, and close the store."""
        try:
            named, _ = self.do(self.network.changed(self.first_cursor))
            assert set(self.model.runs) <= set(named)
            for run_id in self.model.runs:
                self.look_at(run_id)
        finally:
            self.do(self.network.close())
            self.loop.close()

    @property
    def store(self) -> Store:
        """The store without a network in front, to look at it."""
        return self.network.store

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call."""
        return self.loop.run_until_complete(call)

    def id_of(self, name: str) -> str:
        """The run_id behind a short name."""
        return f"{name}-{self.salt}"

    def known(self, name: str) -> ModelRun:
        """What the model knows of a run, or of one that was never created."""
        return self.model.runs.get(self.id_of(name), ModelRun())

    def fence_of(self, name: str, stale: int) -> Fence:
        """The row's fence, or one that it had before, or one of another run."""
        if stale == 9:
            return Fence(self.known(name).epoch, new_id())
        fences = self.fences.get(name if stale else "", [])
        return fences[-1 - stale % len(fences)] if fences else self.known(name).fence

    def checkpoint_of(self, name: str, n: int) -> str:
        """The id of one of a run's checkpoints, or of none."""
        rows = list(self.known(name).rows.values())
        return rows[n % len(rows)].id if rows and n < 7 else "none"

    # -- making calls over the network ------------------------

    def make(self, call: Call, fault: Fault | None) -> object:
        """Make a call that meets a fault, and compare what its caller hears."""
        self.network.strike(fault)
        expected: object = StoreUnavailable
        match fault:
            case None:
                expected = call.tell(self.model)
            case Fault.TWICE:
                call.tell(self.model)
                expected = call.tell(self.model)
            case Fault.COPIED:
                expected = call.tell(self.model)
                self.on_the_way.append(call)
            case Fault.UNANSWERED:
                call.tell(self.model)
            case Fault.DELAYED:
                self.on_the_way.append(call)
            case Fault.LOST:
                pass
        answer = self.answer(call)
        self.made.append(call)
        self.touched |= {call.run_id} & set(self.model.runs) if call.run_id else set(self.model.runs)
        assert answer == expected
        return answer

    def answer(self, call: Call) -> object:
        """What a caller hears; an error of ours is an answer too."""
        try:
            return call.plain(self.do(call.ask(self.network)))
        except CairnError as error:
            return type(error)

    @precondition(lambda self: self.made)
    @rule(which=st.integers(min_value=0, max_value=40), fault=_FAULTS)
    def repeat(self, which: int, fault: Fault | None) -> None:
        """Send an earlier call again, byte for byte, whatever became of it."""
        self.make(self.made[-1 - which % len(self.made)], fault)

    @precondition(lambda self: self.commits)
    @rule(which=st.integers(min_value=0, max_value=12), fault=_FAULTS)
    def commit_again(self, which: int, fault: Fault | None) -> None:
        """Send an earlier commit again: of all calls it is the one that must be known the longest."""
        self.make(self.commits[-1 - which % len(self.commits)], fault)

    @precondition(lambda self: self.on_the_way)
    @rule()
    def deliver(self) -> None:
        """Let all copies that are still on the way arrive."""
        late, self.on_the_way = self.on_the_way, []

        for call, heard in zip(late, self.do(self.network.deliver()), strict=True):
            answer = type(heard) if isinstance(heard, CairnError) else call.plain(heard)
            assert answer == call.tell(self.model)
        self.touched |= set(self.model.runs)

    # -- the calls ----------------------------------------------

    @initialize(kinds=_KINDS)
    def begin(self, kinds: list[str]) -> None:
        """Two runs that are under way, so that few calls are needed to come to something."""
        for name in ("a", "b"):
            self.create(name, mine=True, fault=None)
            self.claim(name, back=0, again=False, fault=None)
            self.go_on(name, kinds, None)

    @rule(name=_NAMES, kinds=_KINDS, fault=_FAULTS)
    def go_on(self, name: str, kinds: list[str], fault: Fault | None) -> None:
        """Commit as the holder does."""
        self.commit(name, 0, 0, kinds, (None, False), fault)

    @rule(name=_NAMES, outcome=_OUTCOMES, kinds=st.just([]) | _KINDS, fault=_FAULTS)
    def park(self, name: str, outcome: Outcome, kinds: list[str], fault: Fault | None) -> None:
        """Commit what changes the row, with checkpoints or without."""
        self.commit(name, 0, 0, kinds, (outcome, False), fault)

    @rule(name=_NAMES, mine=st.sampled_from([True, True, True, False]), fault=_FAULTS)
    def create(self, name: str, mine: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Create a run, or one that is there, or one that was deleted, or one of another workflow."""
        workflow = self.salt if mine else "another"
        new = new_run(run_id=self.id_of(name), workflow=workflow, graph_hash=new_id())
        self.make(calls.creating(new), fault)

    @rule(name=_NAMES, back=st.sampled_from([0, 0, 0, 1, -1]), again=st.booleans(), fault=_FAULTS)
    def claim(self, name: str, back: int, again: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Claim on the right epoch or another, with a new claim or the last one again."""
        run = self.known(name)
        claim_id = run.claim_id if again and run.claim_id else new_id()
        runner = "" if again else f"0.{run.epoch}.0"
        self.make(calls.claiming(self.id_of(name), run.epoch - back, claim_id, runner), fault)
        fence = self.known(name).fence
        if fence.epoch:
            self.fences.setdefault(name, []).append(fence)

    @rule(
        name=_NAMES,
        stale=_STALE,
        off=st.sampled_from([0, 0, 1, -1]),
        kinds=st.just([]) | _KINDS,
        change=st.tuples(st.none() | _OUTCOMES, st.booleans()),
        fault=_FAULTS,
    )
    def commit(
        self,
        name: str,
        stale: int,
        off: int,
        kinds: list[str],
        change: tuple[Outcome | None, bool],
        fault: Fault | None,
    ) -> None:
        """Commit with the row's fence or an old one, on the head or beside it, bytes sound or damaged."""
        outcome, damaged = change
        run = self.known(name)
        head = max(run.head + off, 0)
        writer = Writer(self.store, self.id_of(name), self.fence_of(name, stale), head)
        if head in run.rows:
            writer.hash = run.rows[head].hash
        rows = _resealed(writer.batch(len(kinds)), kinds)
        if damaged:
            self.damaged |= {row.id for row in rows}
            rows = [_flipped(row) for row in rows]
        write_id = rows[0].write_id if rows else new_id()
        call = calls.committing(writer.run_id, writer.fence, head, rows, (write_id, outcome))
        self.make(call, fault)
        self.commits.append(call)

    @rule(name=_NAMES, mine=st.sampled_from([True, True, True, False]), fault=_FAULTS)
    def bring(self, name: str, mine: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Bring a run from another store, or one that is there, or was deleted, or is another workflow's."""
        new = new_run(run_id=self.id_of(name), workflow=self.salt if mine else "another")
        self.make(calls.bringing(new, Fence(3, new_id())), fault)
        fence = self.known(name).fence
        if fence.epoch:
            self.fences.setdefault(name, []).append(fence)

    @rule(
        name=_NAMES,
        stale=_STALE,
        missing=st.lists(st.integers(min_value=0, max_value=2), min_size=1, max_size=3),
        fault=_FAULTS,
    )
    def bring_rows(self, name: str, stale: int, missing: list[int], fault: Fault | None) -> None:
        """Bring copies of checkpoints, some with a gap before them, as holder of the run or not."""
        head = self.known(name).head
        writer = Writer(self.store, self.id_of(name), self.fence_of(name, stale), head)
        writer.hash = self.known(name).hashes.get(head, writer.hash)
        rows: list[Checkpoint] = []
        gaps: list[Gap] = []
        for count in missing:
            row = writer.batch(count + 1)[-1]
            if count:
                # What a prune leaves needs nothing of what it took.
                row = sealed(row._replace(kind="snapshot"))
            if count:
                gaps.append(Gap(writer.seq + 1, row.seq - 1, writer.hash, row.hash))
            rows.append(row)
            writer.seq, writer.hash = row.seq, row.hash
        fence = writer.fence if writer.fence.claim_id else Fence(1, "none")
        self.make(calls.bringing_rows(writer.run_id, fence, head, rows, gaps), fault)

    @rule(name=_NAMES, stale=_STALE, count=st.none() | st.integers(0, 3), fault=_FAULTS)
    def beat(self, name: str, stale: int, count: int | None, fault: Fault | None) -> None:
        """Say that a holder lives, with its numbers or without."""
        metrics: JSONObject | None = None if count is None else {"count": count}
        self.make(calls.beating(self.id_of(name), self.fence_of(name, stale), metrics), fault)

    @rule(name=_NAMES, stale=_STALE, task=st.sampled_from(["a#1", "b#2[3]"]), fault=_FAULTS)
    def save_progress(self, name: str, stale: int, task: str, fault: Fault | None) -> None:
        """Keep a task's progress."""
        fence = self.fence_of(name, stale)
        self.make(calls.progressing(self.id_of(name), fence, task, new_id().encode()), fault)

    @rule(name=_NAMES, note=st.sampled_from(["x", "y"]), value=st.sampled_from([None, 1, [2]]), fault=_FAULTS)
    def note(self, name: str, note: str, value: JSONValue, fault: Fault | None) -> None:
        """Set a note, or take it away."""
        self.make(calls.noting(self.id_of(name), {note: value}), fault)

    @rule(name=_NAMES, client=st.integers(min_value=1, max_value=6), wait=_ANSWERED, fault=_FAULTS)
    def send(self, name: str, client: int, wait: str, fault: Fault | None) -> None:
        """Send a signal or an answer, before, while and after somebody waits."""
        self.make(calls.sending(self.id_of(name), NewSignal("go", client, str(client), wait)), fault)

    @precondition(lambda self: any(run.outcome.waits for run in self.model.runs.values()))
    @rule(which=st.integers(min_value=0, max_value=3), fault=_FAULTS)
    def answer_a_wait(self, which: int, fault: Fault | None) -> None:
        """Answer what somebody waits for, whether it is open still or answered already."""
        waits = [(id_, wait.name) for id_, run in self.model.runs.items() for wait in run.outcome.waits]
        run_id, name = waits[which % len(waits)]
        self.make(calls.sending(run_id, NewSignal("sign", which, new_id(), name)), fault)

    @rule(name=_NAMES, seq=_SEQS, pinned=st.sampled_from([True, True, False]), fault=_FAULTS)
    def pin(self, name: str, seq: int, pinned: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Pin a checkpoint or let it go."""
        self.make(calls.pinning(self.checkpoint_of(name, seq), pinned=pinned), fault)

    @rule(name=_NAMES, seq=_SEQS, child=_CHILDREN, fault=_FAULTS)
    def hold(self, name: str, seq: int, child: str, fault: Fault | None) -> None:
        """Hold a checkpoint for a run that exists, existed, or never will."""
        self.make(calls.holding(self.checkpoint_of(name, seq), self.id_of(child)), fault)

    @rule(child=_CHILDREN, fault=_FAULTS)
    def release(self, child: str, fault: Fault | None) -> None:
        """Let go of what a child holds."""
        self.make(calls.releasing(self.id_of(child)), fault)

    @rule(name=_NAMES, drop=_DROPS, fault=_FAULTS)
    def prune(self, name: str, drop: list[int], fault: Fault | None) -> None:
        """Drop any seqs."""
        self.make(calls.pruning(self.id_of(name), drop), fault)

    @rule(name=_NAMES, chosen=st.lists(_SEQS, max_size=4), stale=st.booleans(), fault=_FAULTS)
    def swap(self, name: str, chosen: list[int], stale: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Pack payloads in another way, also such as are gone or are not what the caller believes."""
        rows = self.known(name).rows
        swaps = [
            Swap(seq, b"never stored" if stale else payload, repacked(payload))
            for seq in dict.fromkeys(chosen)
            for payload in [(rows[seq].payload if seq in rows else None) or b"\1\0nothing"]
        ]
        self.make(calls.swapping(self.id_of(name), swaps), fault)

    @rule(name=_NAMES, task=st.sampled_from(["a#1", "b#2[3]"]), stale=st.booleans(), fault=_FAULTS)
    def swap_progress(self, name: str, task: str, stale: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Put other bytes in the place of progress that is what the caller believes, or is not."""
        old = b"never stored" if stale else self.known(name).progress.get(task, b"")
        self.make(calls.swapping_progress(self.id_of(name), task, old, new_id().encode()), fault)

    @rule(name=_NAMES, sure=st.sampled_from([True, False, False, False, False]), fault=_FAULTS)
    def delete(self, name: str, sure: bool, fault: Fault | None) -> None:  # noqa: FBT001 - drawn
        """Delete a run, not too often."""
        if sure:
            self.make(calls.deleting(self.id_of(name)), fault)

    @rule(name=_NAMES, seq=st.none() | _SEQS, fault=st.none() | st.just(Fault.LOST))
    def load(self, name: str, seq: int | None, fault: Fault | None) -> None:
        """Load any checkpoint: damaged bytes come back as they were stored, or are known to be damaged."""
        answer = self.make(calls.loading(self.id_of(name), seq), fault)
        if isinstance(answer, list):
            broken = {answer[0].seq + n for n, row in enumerate(answer) if row.id in self.damaged}
            assert {finding.first_seq for finding in verify_payloads(answer, CODEC)} == broken

    @rule()
    def reopen(self) -> None:
        """Close the store and open the place again; what is only in memory stays with the other opening."""
        other = self.factory()
        self.do(other.open())
        self.do(self.network.close())
        self.network.store = other
        self.touched |= set(self.model.runs)

    # -- looking ------------------------------------------------

    @invariant()
    def every_run_looks_like_the_models(self) -> None:
        """All that this step may have touched."""
        touched, self.touched = self.touched, set()
        for run_id in touched:
            self.look_at(run_id)

    @invariant()
    def changes_name_what_changed(self) -> None:
        """Whoever asks after each step learns of every run whose row changed in it."""
        named, self.cursor = self.do(self.store.changed(self.cursor))
        assert self.model.changes <= set(named)
        self.model.changes.clear()

    def look_at(self, run_id: str) -> None:
        """Compare all that is left of a run."""
        run = self.model.runs[run_id]
        seen = self.do(picture(self.store, run_id))
        assert seen["checkpoints"] == [row._replace(payload=None) for row in reversed(run.rows.values())]
        assert (seen["head"] is None) is run.deleted
        if run.deleted:
            return
        _row_is(seen["row"], run)
        assert [signal.number for signal in seen["signals"]] == run.pending
        assert {(seq, child) for seq, children in seen["holds"].items() for child in children} == run.holds
        assert (seen["progress"], seen["pins"], seen["gaps"]) == (run.progress, run.pins, run.gaps)
        assert seen["usage"] == run.usage


class TestAgainstAModel:
    """The state machine as a test."""

    def test_every_sequence_of_calls_gives_what_the_model_gives(self, store_factory: StoreFactory) -> None:
        """A store is its contract, whatever order the calls come in and whatever the network does."""
        machine = type("Machine", (StoreMachine,), {"factory": staticmethod(store_factory)})
        suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=50, stateful_step_count=35, deadline=None, suppress_health_check=suppressed
            ),
        )


def _row_is(row: Run, run: ModelRun) -> None:
    """Compare a run's row, but for its times."""
    outcome = run.outcome
    assert (row.fence, row.runner, row.workflow) == (run.fence, run.runner, run.workflow)
    assert (row.phase, row.reason, row.message) == (outcome.phase, outcome.reason, outcome.message)
    assert (row.waits, row.wake_at) == (outcome.waits, outcome.wake_at)
    assert (row.head_seq, row.checkpoints, row.bytes) == (run.head, run.ever, run.size)
    assert (row.signals_pending, row.annotations) == (len(run.pending), run.notes)
    assert row.metrics == run.metrics


def _resealed(rows: list[Checkpoint], kinds: list[str]) -> list[Checkpoint]:
    """Give checkpoints their kinds, and chain them again."""
    out: list[Checkpoint] = []
    for row, kind in zip(rows, kinds, strict=True):
        parent = out[-1].hash if out else row.parent_hash
        out.append(sealed(row._replace(kind=cast("Literal['delta', 'snapshot']", kind), parent_hash=parent)))
    return out


def _flipped(row: Checkpoint) -> Checkpoint:
    """Flip a bit in the middle of a payload; header, hash and size still say what it was."""
    payload = bytearray(row.payload or b"")
    payload[len(payload) // 2] ^= 1
    return row._replace(payload=bytes(payload))
