"""Stores that block, on a thread of their own.

A local store does its work in system calls that block (write, fsync, lock). It implements the protocol with
methods that never suspend, and `ThreadedStore` runs each of them on one thread per opened store, so that the
event loop is never held up and the store needs no lock of its own.

Handing a call over and back through a queue takes half the time of an executor (50 us against 100 us on the
machine where it was measured), which is a fifth of a commit.
A caller that is cancelled leaves a call that is still carried out; its answer is lost, as over a network.

Waking another thread and being woken by it costs as much as the commit itself where the other core sleeps. So
a program that owns its event loop may say when nothing on it is under way (`alone`): a commit is then carried
out on the caller's own thread, if the store's has nothing to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from cairn_runtime.errors import CairnError, StoreUnusable
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import (
    Beat,
    Checkpoint,
    Entry,
    Fence,
    Gap,
    Head,
    Health,
    NewEntry,
    NewRun,
    NewSignal,
    Outcome,
    Run,
    Signal,
    Store,
    Swap,
    Usage,
)
from cairn_runtime.store.owned import never

T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Coroutine[Any, Any, Any]]


class BlockingStore(Store, Protocol):
    """A store whose methods never suspend, and that knows what its driver's errors mean."""

    def fault(self, error: Exception) -> CairnError | None:
        """Translate an error of the driver or the system; None if it is a mistake of ours."""
        ...


def drive(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    call.close()
    raise RuntimeError("a method of a blocking store must not suspend")


class StoreThread:
    """One thread that carries out calls in the order in which they came, from any event loop."""

    def __init__(self, name: str, fault: Callable[[Exception], CairnError | None]) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._fault = fault
        self._turn = threading.Lock()
        """Held while a call is carried out, on whichever thread."""
        # A daemon: whoever forgets to close a store does not keep the process from ending, and what was
        # acknowledged is durable already.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, call: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Queue a call; the future gets its answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, call))
        return future

    def carry_out_here(self, call: Coroutine[Any, Any, None]) -> bool:
        """Carry out a call on the caller's thread; False where another is under way, and nothing was done."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            drive(call)
        except Exception as error:
            translated = self._translated(error)
            if translated is error:
                raise
            raise translated from error
        finally:
            self._turn.release()
        return True

    def stop(self) -> None:
        """End the thread after the calls that are queued."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            try:
                with self._turn:
                    answer = drive(call)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                _hand_back(loop, _fail, future, self._translated(error))
            else:
                _hand_back(loop, _resolve, future, answer)
            # Not until the next job: an answer may hold many megabytes.
            job = loop = future = call = answer = None  # type: ignore[assignment]

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, CairnError):
            return error
        ours = self._fault(error)
        if ours is None:
            return error
        ours.__cause__ = error
        return ours


def _hand_back(
    loop: asyncio.AbstractEventLoop, settle: Callable[..., None], future: asyncio.Future[Any], answer: object
) -> None:
    try:
        loop.call_soon_threadsafe(settle, future, answer)
    except RuntimeError:
        # The loop was closed while the call was under way: nobody is left to hear the answer.
        return


def _resolve(future: asyncio.Future[Any], answer: object) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class ThreadedStore:
    """Runs a blocking store on its thread; `Store` says what each method promises."""

    def __init__(self, inner: BlockingStore) -> None:
        self.alone: Callable[[], bool] = never
        """Whether nothing else needs the caller's event loop now, so that a commit may hold it up."""
        self._inner = inner
        self._thread: StoreThread | None = None

    @property
    def url(self) -> str:
        """The address, without any password."""
        return self._inner.url

    def _on_thread(self, call: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        if self._thread is None:
            call.close()
            raise StoreUnusable(f"the store {self.url} is not open")
        return self._thread.call(call)

    async def open(self) -> None:
        """Start the thread and open the store on it."""
        if self._thread is not None:
            return
        self._thread = thread = StoreThread(f"store {self.url}", self._inner.fault)
        try:
            await thread.call(self._inner.open())
        except BaseException:
            self._thread = None
            # What was opened before it failed is let go of; nobody waits for that.
            thread.call(self._inner.close())
            thread.stop()
            raise

    async def close(self) -> None:
        """Close the store after the calls that are under way, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        closing = thread.call(self._inner.close())
        thread.stop()
        await closing

    async def migrate(self) -> int:
        """See `Store.migrate`."""
        return await self._on_thread(self._inner.migrate())

    async def check(self) -> Health:
        """See `Store.check`."""
        return await self._on_thread(self._inner.check())

    async def create_run(self, new: NewRun) -> Run:
        """See `Store.create_run`."""
        return await self._on_thread(self._inner.create_run(new))

    async def run(self, run_id: str) -> Run:
        """See `Store.run`."""
        return await self._on_thread(self._inner.run(run_id))

    async def runs(
        self, *, workflow: str = "", thread: str = "", limit: int = 100, before: str = ""
    ) -> list[Run]:
        """See `Store.runs`."""
        call = self._inner.runs(workflow=workflow, thread=thread, limit=limit, before=before)
        return await self._on_thread(call)

    async def claim(self, run_id: str, expected_epoch: int, claim_id: str, runner: str = "") -> Fence:
        """See `Store.claim`."""
        return await self._on_thread(self._inner.claim(run_id, expected_epoch, claim_id, runner))

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        """See `Store.heads`."""
        return await self._on_thread(self._inner.heads(run_ids))

    async def changed(self, cursor: str) -> tuple[list[str], str]:
        """See `Store.changed`."""
        return await self._on_thread(self._inner.changed(cursor))

    async def commit(
        self,
        run_id: str,
        fence: Fence,
        expected_head: int,
        write_id: str,
        checkpoints: list[Checkpoint],
        outcome: Outcome | None = None,
    ) -> None:
        """See `Store.commit`."""
        call = self._inner.commit(run_id, fence, expected_head, write_id, checkpoints, outcome)
        if self.alone() and self._thread is not None and self._thread.carry_out_here(call):
            return
        await self._on_thread(call)

    async def annotate(self, run_id: str, changes: JSONObject) -> None:
        """See `Store.annotate`."""
        await self._on_thread(self._inner.annotate(run_id, changes))

    async def heartbeat(self, run_id: str, fence: Fence, metrics: JSONObject | None = None) -> Beat:
        """See `Store.heartbeat`."""
        return await self._on_thread(self._inner.heartbeat(run_id, fence, metrics))

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """See `Store.checkpoints`."""
        return await self._on_thread(self._inner.checkpoints(run_id, before=before, limit=limit))

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """See `Store.checkpoint`."""
        return await self._on_thread(self._inner.checkpoint(checkpoint_id))

    async def find_checkpoints(self, prefix: str) -> list[Checkpoint]:
        """See `Store.find_checkpoints`."""
        return await self._on_thread(self._inner.find_checkpoints(prefix))

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """See `Store.load`."""
        return await self._on_thread(self._inner.load(run_id, seq))

    async def read(self, run_id: str, *, after: int = 0) -> list[Checkpoint]:
        """See `Store.read`."""
        return await self._on_thread(self._inner.read(run_id, after=after))

    async def import_run(self, new: NewRun, fence: Fence) -> Run:
        """See `Store.import_run`."""
        return await self._on_thread(self._inner.import_run(new, fence))

    async def import_checkpoints(
        self, run_id: str, fence: Fence, expected_head: int, checkpoints: list[Checkpoint], gaps: list[Gap]
    ) -> None:
        """See `Store.import_checkpoints`."""
        call = self._inner.import_checkpoints(run_id, fence, expected_head, checkpoints, gaps)
        await self._on_thread(call)

    async def put_progress(self, run_id: str, fence: Fence, task: str, value: bytes) -> None:
        """See `Store.put_progress`."""
        await self._on_thread(self._inner.put_progress(run_id, fence, task, value))

    async def progress(self, run_id: str) -> dict[str, bytes]:
        """See `Store.progress`."""
        return await self._on_thread(self._inner.progress(run_id))

    async def send(self, run_id: str, signal: NewSignal) -> Signal:
        """See `Store.send`."""
        return await self._on_thread(self._inner.send(run_id, signal))

    async def signals(self, run_id: str) -> list[Signal]:
        """See `Store.signals`."""
        return await self._on_thread(self._inner.signals(run_id))

    async def pin(self, checkpoint_id: str, *, pinned: bool) -> None:
        """See `Store.pin`."""
        await self._on_thread(self._inner.pin(checkpoint_id, pinned=pinned))

    async def pins(self, run_id: str) -> set[int]:
        """See `Store.pins`."""
        return await self._on_thread(self._inner.pins(run_id))

    async def hold(self, checkpoint_id: str, child_run_id: str) -> None:
        """See `Store.hold`."""
        await self._on_thread(self._inner.hold(checkpoint_id, child_run_id))

    async def release_hold(self, child_run_id: str) -> None:
        """See `Store.release_hold`."""
        await self._on_thread(self._inner.release_hold(child_run_id))

    async def holds(self, run_id: str) -> dict[int, set[str]]:
        """See `Store.holds`."""
        return await self._on_thread(self._inner.holds(run_id))

    async def prune(self, run_id: str, drop: list[int]) -> int:
        """See `Store.prune`."""
        return await self._on_thread(self._inner.prune(run_id, drop))

    async def swap_payloads(self, run_id: str, swaps: list[Swap]) -> int:
        """See `Store.swap_payloads`."""
        return await self._on_thread(self._inner.swap_payloads(run_id, swaps))

    async def swap_progress(self, run_id: str, task: str, old: bytes, new: bytes) -> bool:
        """See `Store.swap_progress`."""
        return await self._on_thread(self._inner.swap_progress(run_id, task, old, new))

    async def gaps(self, run_id: str) -> list[Gap]:
        """See `Store.gaps`."""
        return await self._on_thread(self._inner.gaps(run_id))

    async def usage(self, run_ids: list[str]) -> dict[str, Usage]:
        """See `Store.usage`."""
        return await self._on_thread(self._inner.usage(run_ids))

    async def audit(self, entry: NewEntry) -> Entry:
        """See `Store.audit`."""
        return await self._on_thread(self._inner.audit(entry))

    async def audits(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """See `Store.audits`."""
        return await self._on_thread(self._inner.audits(after=after, limit=limit))

    async def delete_run(self, run_id: str) -> bool:
        """See `Store.delete_run`."""
        return await self._on_thread(self._inner.delete_run(run_id))
