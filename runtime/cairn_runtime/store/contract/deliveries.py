"""A bad network: calls that are lost, repeated, delivered twice, or delivered when all has moved on.

Every call that changes something is held against every fault.
A caller that hears nothing sends the same again; whatever the network did, the run must look like one that
met no fault, and a copy that arrives late must change nothing at all.

Some calls have no id of their own, and a late copy of them counts as a new call: `pin` and `annotate`, where
the last word wins; `hold` and `release_hold`, which count until the child has a checkpoint; and
`put_progress` under a fence that is still the row's, where a step then begins a little further back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cairn_runtime.errors import CairnError, RunNotFound, StoreUnavailable
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.base import Checkpoint, NewSignal, Outcome, Signal, Store, Swap, Wait
from cairn_runtime.store.contract.cases import StoreCase, Writer, begun, new_run, repacked
from cairn_runtime.store.contract.faults import Fault, FaultyStore
from cairn_runtime.store.contract.pictures import alike, picture


@dataclass(frozen=True, slots=True)
class Scene:
    """A run that waits for an answer, and all that a call needs, made once: repeats are byte for byte."""

    writer: Writer
    rows: list[Checkpoint]
    more: list[Checkpoint]
    id: str
    """The write_id, claim_id, client_id or child of the call."""

    @property
    def run_id(self) -> str:
        """The run of the scene."""
        return self.writer.run_id


async def scene(store: Store) -> Scene:
    """Three checkpoints that a prune may take apart, a pin, a hold, a signal, progress, an open approval."""
    writer = await begun(store, annotations={"early": 1})
    rows = [row for kind in ("delta", "snapshot", "snapshot") for row in await writer.commit(kind=kind)]
    await writer.change(Outcome("Waiting", "Parked", waits=(Wait("sign#1", "approval", "sign#1"),)))
    await store.send(writer.run_id, NewSignal("early", 0, new_id()))
    await store.put_progress(writer.run_id, writer.fence, "a#1", b"before")
    made = Scene(writer, rows, writer.batch(2), new_id())
    await store.hold(rows[2].id, f"child of {writer.run_id}")
    await store.pin(rows[2].id, pinned=True)
    return made


async def _delete(store: Store, s: Scene) -> bool:
    """Delete the run of a scene; what a child holds cannot be deleted, so that is let go before."""
    await s.writer.store.release_hold(f"child of {s.run_id}")
    return await store.delete_run(s.run_id)


DEEDS: dict[str, Callable[[Store, Scene], Awaitable[object]]] = {
    "a commit": lambda store, s: store.commit(
        s.run_id,
        s.writer.fence,
        3,
        s.more[0].write_id,
        s.more,
        Outcome("Running", "Signalled", consumed=(1,)),
    ),
    "a commit without an outcome": lambda store, s: store.commit(
        s.run_id, s.writer.fence, 3, s.more[0].write_id, s.more
    ),
    "a row change": lambda store, s: store.commit(
        s.run_id, s.writer.fence, 3, s.id, [], Outcome("Suspended", "Drained", consumed=(1,))
    ),
    "a claim": lambda store, s: store.claim(s.run_id, 1, s.id, "0.2.0"),
    "a creation": lambda store, s: store.create_run(new_run(run_id=s.id)),
    "a signal": lambda store, s: store.send(s.run_id, NewSignal("go", {"n": 1}, s.id)),
    "an answer": lambda store, s: store.send(s.run_id, NewSignal("sign", True, s.id, "sign#1")),
    "a note": lambda store, s: store.annotate(s.run_id, {"note": s.id[:4], "early": None}),
    "progress": lambda store, s: store.put_progress(s.run_id, s.writer.fence, "a#1", b"half"),
    "a heartbeat": lambda store, s: store.heartbeat(s.run_id, s.writer.fence, {"count": 2}),
    "a pin": lambda store, s: store.pin(s.rows[0].id, pinned=True),
    "an unpin": lambda store, s: store.pin(s.rows[2].id, pinned=False),
    "a hold": lambda store, s: store.hold(s.rows[0].id, s.id),
    "a release": lambda store, s: store.release_hold(f"child of {s.run_id}"),
    "a prune": lambda store, s: store.prune(s.run_id, [1, 2]),
    "other bytes": lambda store, s: store.swap_payloads(
        s.run_id, [Swap(row.seq, row.payload or b"", repacked(row.payload or b"")) for row in s.rows]
    ),
    "other progress": lambda store, s: store.swap_progress(s.run_id, "a#1", b"before", b"other"),
    "a deletion": _delete,
}
"""Every call that changes something."""

FENCED = ("a commit", "a commit without an outcome", "a row change", "progress", "a heartbeat")
IDENTIFIED = (
    *FENCED,
    "a claim",
    "a creation",
    "a signal",
    "an answer",
    "a prune",
    "other bytes",
    "a deletion",
)
"""Calls whose late copy is told apart, by a fence or an id."""


async def insist(call: Callable[[], Awaitable[object]]) -> object:
    """Send the same again until there is an answer, as every caller does."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            continue


async def both(store: Store, s: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """All there is to see of a scene: its run, and the one that it may have created."""
    return await picture(store, s.run_id), await picture(store, s.id)


async def follow(store: Store, s: Scene) -> None:
    """Let the run go on without the caller: the next claim, commits, signals; or a deletion, if it is new."""
    try:
        run = await store.run(s.run_id)
    except RunNotFound:
        return
    fence = await store.claim(s.run_id, run.epoch, new_id(), "0.3.0")
    newer = Writer(store, s.run_id, fence, run.head_seq, run.head_hash)
    await newer.commit(2, outcome=Outcome("Running"))
    await store.put_progress(s.run_id, fence, "a#1", b"newer")
    await store.send(s.run_id, NewSignal("later", 0, new_id()))
    await newer.change(Outcome("Waiting", "Again", waits=(Wait("sign#1", "approval", "sign#1"),)))
    await store.delete_run(s.id)


class TestDeliveries(StoreCase):
    """What a bad network may do to a call, and what nobody may see of it."""

    @pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
    @pytest.mark.parametrize("deed", DEEDS)
    async def test_a_call_that_met_a_fault_acts_once(self, store: Store, deed: str, fault: Fault) -> None:
        """Repeated until it is answered, it leaves the run like one that met no fault."""
        calm, rough = await scene(store), await scene(store)
        network = FaultyStore(store)
        await DEEDS[deed](store, calm)

        network.strike(fault)
        await insist(lambda: DEEDS[deed](network, rough))
        await network.deliver()

        for wanted, seen in zip(await both(store, calm), await both(store, rough), strict=True):
            assert alike(seen) == alike(wanted)

    @pytest.mark.parametrize("fault", [Fault.UNANSWERED, Fault.TWICE], ids=lambda fault: fault.value)
    @pytest.mark.parametrize("deed", ["a claim", "a creation", "a signal", "an answer"])
    async def test_the_answer_is_the_one_that_was_lost(self, store: Store, deed: str, fault: Fault) -> None:
        """Whoever asks again is told what the first call did, not that somebody was faster."""
        s = await scene(store)
        network = FaultyStore(store)

        network.strike(fault)
        answer = await insist(lambda: DEEDS[deed](network, s))

        match deed:
            case "a claim":
                assert answer == (2, s.id) == (await store.run(s.run_id)).fence
            case "a creation":
                assert answer == await store.run(s.id)
            case _:
                assert isinstance(answer, Signal)
                assert (answer.number, answer.client_id) == (2, s.id)
                assert answer == (await store.signals(s.run_id))[1]

    @pytest.mark.parametrize("deed", IDENTIFIED)
    async def test_a_late_copy_changes_nothing(self, store: Store, deed: str) -> None:
        """The call was answered long ago; claims, commits and signals followed; then a copy arrives."""
        s = await scene(store)
        network = FaultyStore(store)
        network.strike(Fault.COPIED)
        await DEEDS[deed](network, s)
        await follow(store, s)
        before = await both(store, s)

        await network.deliver()

        assert await both(store, s) == before

    @pytest.mark.parametrize("deed", [*FENCED, "a claim"])
    async def test_a_call_that_comes_after_the_next_claim_writes_nothing(
        self, store: Store, deed: str
    ) -> None:
        """Its caller is cut off and believes in its fence; when it is heard, another one holds the run."""
        s = await scene(store)
        network = FaultyStore(store)
        network.strike(Fault.DELAYED)
        with pytest.raises(StoreUnavailable):
            await DEEDS[deed](network, s)
        await follow(store, s)
        before = await both(store, s)

        (heard,) = await network.deliver()

        assert isinstance(heard, CairnError)
        assert await both(store, s) == before

    async def test_a_claim_that_was_overtaken_is_lost(self, store: Store) -> None:
        """Its reply was lost and another claim came between: asking again gives no fence back."""
        s = await scene(store)
        network = FaultyStore(store)
        network.strike(Fault.UNANSWERED)
        with pytest.raises(StoreUnavailable):
            await DEEDS["a claim"](network, s)
        fence = await store.claim(s.run_id, 2, "other")

        for epoch in (1, 0, 2):
            with pytest.raises(CairnError, match=s.run_id):
                await network.claim(s.run_id, epoch, s.id)

        assert (await store.run(s.run_id)).fence == fence

    async def test_a_commit_of_which_only_a_part_arrived_before_is_no_success(self, store: Store) -> None:
        """The first sending was shorter, and others wrote in the place of what was added."""
        s = await scene(store)
        short = s.more[:1]
        await store.commit(s.run_id, s.writer.fence, 3, short[0].write_id, short)
        fence = await store.claim(s.run_id, 1, "newer")
        await Writer(store, s.run_id, fence, 4, short[0].hash).commit(2)
        before = await both(store, s)

        with pytest.raises(CairnError, match=s.run_id):
            await DEEDS["a commit without an outcome"](store, s)

        assert await both(store, s) == before
