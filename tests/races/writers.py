"""A process of a crew: opens the store, and carries out orders until there are no more.

It writes down every call before it makes it and every answer when it has it, repeats what got no answer byte
for byte, and stops at a refusal unless it was told to be stubborn.
The reader of a crew is the same process with other orders.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, assert_never

from tests.races.logs import Log
from tests.races.meetings import Meetings
from tests.races.orders import (
    GRAPH_HASH,
    Act,
    Beat,
    Claim,
    Commit,
    Create,
    Delete,
    Deliver,
    Hand,
    Look,
    Order,
    Progress,
    Read,
    Report,
    Send,
    Settle,
    Write,
    fact_of,
    moved,
    rows_of,
)
from tests.races.plants import planted

from cairn_runtime.errors import CairnError, StoreUnavailable
from cairn_runtime.store.base import Head, NewRun, NewSignal, Run, Store

WORKFLOW = "races/races/6d3c1f0e"
TRIES = 100
"""So often is a call sent that gets no answer, with a short pause in between."""
T = TypeVar("T")


def leave_with_parent() -> None:
    """Be killed when the process that started this one dies, and leave Ctrl-C to it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def serve(place: int, orders: Connection, meetings: Meetings, url: str, plant: str, folder: Path) -> None:
    """Carry out orders until there are no more."""
    leave_with_parent()
    asyncio.run(_serve(place, orders, meetings, url, plant, folder))


async def _serve(
    place: int, orders: Connection, meetings: Meetings, url: str, plant: str, folder: Path
) -> None:
    store = planted(url, plant)
    await store.open()
    log = Log(folder, f"{place}-{os.getpid()}")
    orders.send("open")
    while True:
        order: Order | None = orders.recv()
        if order is None:
            break
        log.about(order.run_id)
        meetings.meet(place, order.meets)
        if order.delay_seconds:
            # The thread sleeps, not the loop: nothing else is to happen meanwhile, and it is more exact.
            time.sleep(order.delay_seconds)  # noqa: ASYNC251
        orders.send(await Writer(store, log, order).carry_out())
    log.close()
    await store.close()


class Writer:
    """One process in one race."""

    def __init__(self, store: Store, log: Log, order: Order) -> None:
        self._store = store
        self._log = log
        self._order = order
        self._run_id = order.run_id
        self._hand = order.hand
        self._written: list[Write] = []
        self._sure = True

    async def carry_out(self) -> Report:
        """Do one act after the other; after a refusal no more, unless stubborn."""
        for act in self._order.acts:
            if not await self._do(act) and not self._order.stubborn:
                break
        return Report(self._hand, tuple(self._written), self._sure)

    async def _do(self, act: Act) -> bool:
        """Do one act; answer whether it was successful."""
        match act:
            case Claim():
                done = await self._claim(act)
            case Commit():
                done = await self._commit(act)
            case Deliver():
                done = await self._deliver(act.write)
            case Look():
                done = await self._look() is not None
            case Read():
                done = await self._read(act.what)
            case Settle():
                done = await self._settle()
            case Beat() | Progress():
                done = await self._show_life(act)
            case Send():
                done = await self._send(act)
            case Create():
                new = NewRun(self._run_id, WORKFLOW, {"kind": "Workflow"}, GRAPH_HASH, "base")
                done = await self._ask("create", {}, lambda: self._store.create_run(new)) is not None
            case Delete():
                deleted = await self._ask("delete", {}, lambda: self._store.delete_run(self._run_id))
                done = deleted is not None
            case _:
                assert_never(act)
        return done

    async def _show_life(self, act: Beat | Progress) -> bool:
        run_id, fence = self._run_id, self._hand.fence
        told = {"epoch": fence.epoch, "claim": fence.claim_id}
        if isinstance(act, Beat):
            return await self._ask("beat", told, lambda: self._store.heartbeat(run_id, fence)) is not None
        token = act.token.encode()
        put = lambda: _true(self._store.put_progress(run_id, fence, "draft#1", token))  # noqa: E731
        return await self._ask("progress", told, put) is not None

    async def _send(self, act: Send) -> bool:
        sending = NewSignal("go", act.client_id, act.client_id)
        stored = await self._ask(
            "send",
            {"client": act.client_id},
            lambda: self._store.send(self._run_id, sending),
            lambda signal: {"number": signal.number},
        )
        return stored is not None

    async def _claim(self, act: Claim) -> bool:
        fence = await self._ask(
            "claim",
            {"expected": act.expected, "claim": act.claim_id},
            lambda: self._store.claim(self._run_id, act.expected, act.claim_id, "races"),
            lambda given: {"epoch": given.epoch, "claim": given.claim_id},
        )
        if fence is None:
            return False
        self._hand = replace(self._hand, epoch=fence.epoch, claim=fence.claim_id)
        return True

    async def _look(self, *, quiet: bool = False) -> Run | None:
        told = {"quiet": True} if quiet else {}
        run = await self._ask("look", told, lambda: self._store.run(self._run_id), _row_facts)
        if run is not None:
            self._hand = replace(self._hand, seq=run.head_seq, hash=run.head_hash or Hand().hash)
        return run

    async def _commit(self, act: Commit) -> bool:
        consumed: tuple[int, ...] = ()
        if act.take:
            queued = await self._ask("signals", {}, lambda: self._store.signals(self._run_id), _queue_facts)
            consumed = tuple(signal.number for signal in queued or ())
        write = Write(self._run_id, self._hand, act.write_id, act.count, act.bytes, act.phase, consumed)
        if act.abandon_seconds is not None:
            await self._abandon(write, act.abandon_seconds)
        return await self._deliver(write)

    async def _deliver(self, write: Write) -> bool:
        call, told = self._commit_call(write)
        if await self._ask("commit", told, call) is None:
            return False
        self._written.append(write)
        hand = moved(write)
        if write.hand.fence == self._hand.fence and hand.seq > self._hand.seq:
            self._hand = hand
        return True

    async def _abandon(self, write: Write, seconds: float) -> None:
        """Send a write and do not wait for the answer, unless it comes very soon."""
        call, told = self._commit_call(write)
        number = self._log.sent(self._order.race, "commit", told)
        sending = asyncio.ensure_future(call())
        await asyncio.wait({sending}, timeout=seconds)
        if not sending.done():
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            return
        error = sending.exception()
        self._log.answered(number, "done" if error is None else type(error).__name__, {})

    def _commit_call(self, write: Write) -> tuple[Callable[[], Awaitable[bool]], dict[str, Any]]:
        rows = rows_of(write)
        hand = write.hand
        told = {"write": write.write_id, "epoch": hand.epoch, "claim": hand.claim, "head": hand.seq}
        told |= {"phase": write.phase, "consumed": write.consumed, "rows": [fact_of(row) for row in rows]}
        return (
            lambda: _true(
                self._store.commit(self._run_id, hand.fence, hand.seq, write.write_id, rows, write.outcome)
            ),
            told,
        )

    async def _read(self, what: str) -> bool:
        run_id = self._run_id
        match what:
            case "load":
                return await self._ask("load", {}, lambda: self._store.load(run_id), _facts) is not None
            case "list":
                call = lambda: self._store.checkpoints(run_id, limit=10_000)  # noqa: E731
                return await self._ask("list", {}, call, _facts) is not None
            case _:
                call_heads = lambda: self._store.heads([run_id])  # noqa: E731
                return (
                    await self._ask("head", {}, call_heads, lambda h: _head_facts(h.get(run_id))) is not None
                )

    async def _settle(self) -> bool:
        """Read all there is, and believe it."""
        run = await self._look(quiet=True)
        rows = await self._ask("load", {}, lambda: self._store.load(self._run_id), _facts)
        for what in ("list", "head"):
            await self._read(what)
        await self._ask("signals", {"quiet": True}, lambda: self._store.signals(self._run_id), _queue_facts)
        if rows:
            head = rows[-1].id
            await self._ask("one", {}, lambda: self._store.checkpoint(head), lambda row: _facts([row]))
        if run is not None:
            self._hand = replace(self._hand, epoch=run.epoch, claim=run.claim_id)
        return run is not None

    async def _ask(
        self,
        kind: str,
        told: dict[str, Any],
        call: Callable[[], Awaitable[T]],
        facts: Callable[[T], dict[str, Any]] = lambda _: {},
    ) -> T | None:
        """Make a call and write down its answer; None where it was refused.

        Whatever the store raises is an answer: the checker judges which ones may be.
        """
        for _ in range(TRIES):
            number = self._log.sent(self._order.race, kind, told)
            try:
                value = await call()
            except StoreUnavailable:
                self._log.answered(number, "StoreUnavailable", {})
                await asyncio.sleep(0.02)
            except CairnError as error:
                self._log.answered(number, type(error).__name__, {"text": error.message})
                return None
            except Exception as error:  # noqa: BLE001 - an error that is not ours is a finding
                self._log.answered(number, type(error).__name__, {"text": repr(error)})
                return None
            else:
                self._log.answered(number, "done", facts(value))
                return value
        self._sure = False
        return None


async def _true(call: Awaitable[None]) -> bool:
    await call
    return True


def _facts(rows: list[Any]) -> dict[str, Any]:
    return {"rows": [fact_of(row) for row in rows]}


def _queue_facts(signals: list[Any]) -> dict[str, Any]:
    return {"signals": [[signal.number, signal.client_id] for signal in signals]}


def _head_facts(head: Head | None) -> dict[str, Any]:
    if head is None:
        return {}
    return {"seq": head.seq, "id": head.id, "hash": head.hash, "epoch": head.epoch, "phase": head.phase}


def _row_facts(run: Run) -> dict[str, Any]:
    return {
        "seq": run.head_seq,
        "id": run.head_id,
        "hash": run.head_hash,
        "epoch": run.epoch,
        "claim": run.claim_id,
        "phase": run.phase,
        "reason": run.reason,
        "checkpoints": run.checkpoints,
        "bytes": run.bytes,
        "pending": run.signals_pending,
    }
