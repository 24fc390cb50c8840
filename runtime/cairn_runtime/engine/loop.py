"""The loop of a run: start what is ready, wait for what happens, decide, save, again.

    start ──> happen ──> settle (plan) ──> cut (policy) ──> save (durability) ──┐
      ^                                                                          │
      └──────────────────────────────────────────────────────────────────────────┘

Deciding is `plan`'s, writing is `control`'s, executing is `execute`'s; the loop only says when.
Under `sync` a task starts after the checkpoint that made it ready is durable, because saving comes before starting.
One loop per run, on one event loop; other threads reach it through `poke`, `drain` and `stop` only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import orjson

from cairn_runtime.engine import waits
from cairn_runtime.engine.compiled import CompiledStep, CompiledWorkflow
from cairn_runtime.engine.context import Call, Park, State
from cairn_runtime.engine.control import Control, Mark
from cairn_runtime.engine.execute import Action, Executor, Returned
from cairn_runtime.engine.frontier import RunState, Task
from cairn_runtime.engine.plan import Planner
from cairn_runtime.engine.retry import attempt_timeout, delay, may_retry
from cairn_runtime.errors import CairnError, DeadlinePassed, StepError, WriteRefused
from cairn_runtime.model.ids import TaskKey, parse_task_key, task_key, utc_now
from cairn_runtime.model.values import JSONObject, JSONValue, jsonify
from cairn_runtime.store.base import Outcome, Phase, Wait

log = logging.getLogger("cairn.loop")

QUEUE_BOUND = 64
"""Under `async`: so many checkpoints at most are cut and not durable; then starting waits."""
FLUSH_BYTES = 4 * 1024 * 1024
"""Events above this are cut into a checkpoint whatever the policy says, so that none grows without bound."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the loop stopped: the run's phase as it was saved, and whether it was drained on the way."""

    phase: Phase
    reason: str = ""
    message: str = ""
    drained: bool = False


@dataclass(slots=True)
class Happening:
    """What a running task brought: a return, an error, a park, or a request in its middle."""

    task: TaskKey
    step: str
    visit: int
    item: int | None
    returned: Returned | None = None
    error: StepError | None = None
    park: Park | None = None
    cancelled: bool = False
    writes: Mapping[str, object] | None = None
    key: str = ""
    confirm: asyncio.Future[None] | None = None
    """Set for a request: answered once what it asks for is durable."""


@dataclass(slots=True)
class Group:
    """The items of a foreach that this process has not started, and how many it runs."""

    pending: Iterator[int]
    again: deque[int] = field(default_factory=deque)
    running: int = 0


class RunLoop:
    """Runs one run until it is over, waits with nothing else to do, or is drained."""

    def __init__(
        self,
        workflow: CompiledWorkflow,
        state: RunState,
        control: Control,
        executor: Executor,
        *,
        key_base: str,
        progress: dict[str, bytes] | None = None,
        started_at: datetime | None = None,
        linger_seconds: float = 0.0,
        on_saved: Callable[[], None] | None = None,
    ) -> None:
        self.workflow = workflow
        self.state = state
        self.control = control
        self.executor = executor
        self.key_base = key_base
        self.progress = progress or {}
        self.linger_seconds = linger_seconds
        self.on_saved = on_saved
        self.draining = False
        self._planner = Planner(workflow, state, [])
        self._events = self._planner.events
        self._scanned = 0
        self._ready: deque[Task] = deque()
        self._groups: dict[str, Group] = {}
        self._running: dict[TaskKey, asyncio.Task[None]] = {}
        self._delayed: dict[TaskKey, asyncio.TimerHandle] = {}
        self._happened: deque[Happening] = deque()
        self._wakeup = asyncio.Event()
        self._actions: dict[str, Action] = {}
        self._streaks: dict[str, int] = {}
        self._confirm: list[asyncio.Future[None]] = []
        self._consumed: list[int] = []
        self._look = True
        self._row: tuple[Phase, tuple[Wait, ...]] | None = None
        self._fatal: BaseException | None = None
        self._saver: asyncio.Task[None] | None = None
        self._drain_until: float | None = None
        self._last = Mark("", 0, None, (), {})
        self._pending_bytes = 0
        self._weighed = 0
        self._cut_now = False
        self._last_cut = time.monotonic()
        policy = workflow.checkpoint
        self._metadata: dict[str, JSONObject] = {
            name: {**policy.metadata, **step.spec.metadata} for name, step in workflow.steps.items()
        }
        self._every_step = policy.policy == "EveryStep"
        self._deadline: float | None = None
        self._times_out_at: datetime | None = None
        if workflow.timeout_seconds is not None and started_at is not None:
            self._times_out_at = started_at + timedelta(seconds=workflow.timeout_seconds)
            self._deadline = time.monotonic() + (self._times_out_at - utc_now()).total_seconds()
        self._linger_until: float | None = None

    def begin(self) -> None:
        """Give a new run its channels and first tokens. Raises `WriteRefused` where input does not fit."""
        self._planner.begin(self.workflow.input)

    # -- from outside -----------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Say that signals may have come. On the loop's thread."""
        self._look = True
        self._wakeup.set()

    def drain(self, grace_seconds: float) -> None:
        """Start nothing new, give running tasks so long, then end. On the loop's thread."""
        self.draining = True
        if self._drain_until is None:
            self._drain_until = time.monotonic() + grace_seconds
        self._wakeup.set()

    def stop(self, error: BaseException) -> None:
        """End at once, saving nothing more: this runner is superseded, or its store is gone."""
        if self._fatal is None:
            self._fatal = error
        self._wakeup.set()

    def ask(self, happening: Happening) -> None:
        """Take a request of a running task. On the loop's thread."""
        self._happened.append(happening)
        self._wakeup.set()

    @property
    def has_unsaved_events(self) -> bool:
        """Whether events were decided that no checkpoint holds yet."""
        return bool(self._events)

    # -- the loop ---------------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Run until the run is over, waits, or is drained.

        Raises:
            Superseded, RunNotFound, StoreUnavailable: the store's last word; nothing more was written.
            CheckpointTooLarge: one step's writes are over the bound of a checkpoint.
        """
        try:
            self._adopt()
            while True:
                self._planner.advance(utc_now())
                self._scan()
                ending = self._ending()
                self._cut(ending)
                await self._save(ending)
                if ending is not None and not self._may_linger(ending):
                    return ending
                self._start()
                await self._happen()
                await self._settle()
        finally:
            await self._end_all()

    def _adopt(self) -> None:
        """Take over the frontier of the state: what was running when the last runner died is ready again."""
        for task in self.state.tasks.values():
            if task.wait is None:
                self._ready.append(task)
        for name, group in self.state.groups.items():
            self._groups[name] = Group(n for n in group.pending() if not self._is_parked(name, n))
            if group.failure is not None:
                self._planner.give_up_group(name)
        self._scanned = 0

    def _is_parked(self, step: str, item: int) -> bool:
        task = self.state.groups[step].open.get(item)
        return task is not None and task.wait is not None

    def _scan(self) -> None:
        """Queue what the newest events made ready."""
        events = self._events
        while self._scanned < len(events):
            event = events[self._scanned]
            self._scanned += 1
            match event[0]:
                case "ready":
                    task = self.state.tasks.get(event[1])
                    if task is not None and task.wait is None and not self.workflow.steps[task.step].waits:
                        self._ready.append(task)
                case "enter":
                    group = self.state.groups.get(event[1])
                    if group is not None:
                        self._groups[event[1]] = Group(group.pending())
                case "woke":
                    self._again(event[1], event[3])
                case "parked":
                    self._look = self._look or event[4]["kind"] != "sleep"
                case "done" | "failed" if event[1] not in self.state.groups:
                    self._groups.pop(event[1], None)

    def _again(self, step: str, item: int | None) -> None:
        if item is None:
            self._ready.append(self.state.tasks[step])
        elif step in self._groups:
            self._groups[step].again.append(item)

    def _ending(self) -> Ending | None:
        """Why there is nothing to wait for but other people; None while anything is under way."""
        if self._running or self._happened:
            return None
        state = self.state
        if state.failure is not None:
            return Ending("Failed", str(state.failure["reason"]), str(state.failure["message"]))
        if self._ready or self._delayed or any(self._can_start_item(name) for name in self._groups):
            if self.draining:
                return Ending("Running", "Drained", "the runner was asked to stop", drained=True)
            return None
        if state.idle:
            return Ending("Succeeded")
        if state.parked():
            return Ending("Waiting")
        msg = f"the run is stuck: tokens on {list(state.tokens)}"
        raise AssertionError(msg)

    def _can_start_item(self, name: str) -> bool:
        group, state = self._groups[name], self.state.groups.get(name)
        if state is None or state.failure is not None:
            return False
        if not group.again:
            item = next(group.pending, None)
            if item is None:
                return False
            group.again.append(item)
        return True

    # -- starting ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.draining or self.state.failure is not None or self._fatal is not None:
            return
        while self._ready:
            task = self._ready.popleft()
            self._spawn(self.workflow.steps[task.step], task.visit, None, task)
        for name, group in list(self._groups.items()):
            step = self.workflow.steps[name]
            while group.running < step.parallelism and self._can_start_item(name):
                item = group.again.popleft()
                held = self.state.groups[name]
                group.running += 1
                self._spawn(step, held.visit, item, held.open.get(item))

    def _spawn(self, step: CompiledStep, visit: int, item: int | None, task: Task | None) -> None:
        key = task_key(step.name, visit, item)
        progress = self.progress.get(key)
        attempt = task.failures + 1 if task else 1
        call = Call(
            run_id=self.control.run_id,
            task=key,
            step=step.name,
            visit=visit,
            index=item,
            item=None if item is None else self.state.groups[step.name].items[item],
            attempt=attempt,
            key_base=self.key_base,
            state=State(dict(self.state.channels)),
            progress=None if progress is None else orjson.loads(progress),
            signal=task.answer if task else None,
            timeout_seconds=attempt_timeout(step.retry, attempt, step.spec.timeout),
            port=Port(self, step.name, visit, item, key, task.keys if task else ()),
        )
        self._running[key] = asyncio.get_running_loop().create_task(self._attempt(step, call))

    async def _attempt(self, step: CompiledStep, call: Call) -> None:
        happening = Happening(TaskKey(call.task), step.name, call.visit, call.index)
        try:
            action = self._actions.get(step.name)
            if action is None:
                action = self._actions[step.name] = self.executor.prepare(step.spec)
            happening.returned = await self.executor.execute(action, call)
        except Park as park:
            happening.park = park
        except StepError as error:
            happening.error = error
        except asyncio.CancelledError:
            happening.cancelled = True
        except CairnError as error:
            self.stop(error)
            happening.cancelled = True
        except BaseException as error:  # noqa: BLE001 - a fault of ours must end the run, not hang it
            self.stop(error)
            happening.cancelled = True
        self._happened.append(happening)
        self._wakeup.set()

    # -- waiting for something to happen ------------------------------------------------------------------------

    async def _happen(self) -> None:
        """Wait until a task ends or asks, somebody pokes, or a moment comes."""
        if not self._happened and self._fatal is None:
            timeout = self._until_next_moment()
            if timeout is None:
                await self._wakeup.wait()
            else:
                try:
                    async with asyncio.timeout(max(timeout, 0.0)):
                        await self._wakeup.wait()
                except TimeoutError:
                    pass
        self._wakeup.clear()
        if self._saver is not None and self._saver.done():
            self._saver.result()
        if self._fatal is not None:
            raise self._fatal

    def _until_next_moment(self) -> float | None:
        """Seconds until something is due by itself; None: never."""
        at_rest = self.draining or self.state.failure is not None
        if self._look and not at_rest:
            return 0.0
        now = time.monotonic()
        moments = [m - now for m in (self._deadline, self._drain_until) if m is not None]
        if self._linger_until is not None and self._linger_until > now:
            moments.append(self._linger_until - now)
        policy = self.workflow.checkpoint
        if policy.policy == "Interval" and self._events:
            moments.append(self._last_cut + policy.interval - now)
        due = None if at_rest else waits.wake_at(self.state.parked())
        if due is not None:
            moments.append((due - utc_now()).total_seconds())
        return min(moments, default=None)

    def _may_linger(self, ending: Ending) -> bool:
        """Whether to stay for a wait that is over soon; starting a new runner would take longer."""
        if ending.phase != "Waiting" or self.draining:
            return False
        now = time.monotonic()
        if self._linger_until is None:
            self._linger_until = now + self.linger_seconds
        due = waits.wake_at(self.state.parked())
        if self._look or (due is not None and (due - utc_now()).total_seconds() <= self.linger_seconds):
            return True
        return now < self._linger_until

    # -- settling -----------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Turn what happened into events, each task's under its own checkpoint where the policy says so."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._time_out()
        if self._drain_until is not None and now >= self._drain_until:
            self._cancel_running()
        first = True
        while self._happened:
            if not first:
                self._planner.advance(utc_now())
                self._scan()
                self._cut(None)
            first = False
            self._settle_one(self._happened.popleft())
            if self._fatal is not None:
                raise self._fatal
        if not self.draining and self.state.failure is None and (self._look or self._wait_is_over()):
            await self._answer()

    def _settle_one(self, happening: Happening) -> None:
        step, item = happening.step, happening.item
        if happening.confirm is not None:
            self._settle_request(happening, happening.confirm)
            return
        group = self._groups.get(step)
        del self._running[happening.task]
        if item is not None and group is not None:
            group.running -= 1
        if not happening.cancelled:
            self._linger_until = None
            self._settle_end(happening)
            self._stand_at(step, happening.visit, item)
        held = self.state.groups.get(step)
        if held is not None and held.failure is not None and group is not None and not group.running:
            self._drop_retries(step)
            self._planner.give_up_group(step)

    def _settle_end(self, happening: Happening) -> None:
        step, item, returned = happening.step, happening.item, happening.returned
        try:
            if happening.park is not None:
                self._park(happening, happening.park)
            elif happening.error is not None:
                raise happening.error
            elif returned is not None:
                if item is None:
                    self._planner.finish(step, returned.value, returned.goto)
                else:
                    self._planner.finish_item(step, item, returned.value, returned.goto)
            self._streaks.pop(step, None)
        except StepError as error:
            self._settle_error(step, item, happening.task, error)

    def _settle_error(self, step: str, item: int | None, key: TaskKey, error: StepError) -> None:
        """Try again later, or let the task fail for good."""
        settings = self.workflow.steps[step].retry
        task = self.state.task(step, item)
        streak = self._streaks[step] = self._streaks.get(step, 0) + 1
        pause = None
        if may_retry(settings, error) and self.state.failure is None:
            pause = delay(settings, task.failures + 1, random.random(), streak=streak)
        if pause is None:
            log.error("task failed", extra={"task": key, "error": error.error})
            self._planner.fail(step, item, error)
            return
        log.warning(
            "attempt failed", extra={"task": key, "error": error.error, "retry_seconds": round(pause, 3)}
        )
        self._planner.record(["tried", step, task.visit, item, error.error, error.message])
        if not self.draining:
            loop = asyncio.get_running_loop()
            self._delayed[key] = loop.call_later(pause, partial(self._retry, step, item, key))

    def _retry(self, step: str, item: int | None, key: TaskKey) -> None:
        self._delayed.pop(key, None)
        if self.state.failure is None:
            self._again(step, item)
        self._wakeup.set()

    def _drop_retries(self, step: str) -> None:
        """Forget the tries that a foreach still had planned: it is given up."""
        for key in [key for key in self._delayed if parse_task_key(key)[0] == step]:
            self._delayed.pop(key).cancel()

    def _park(self, happening: Happening, park: Park) -> None:
        wait = Wait(happening.task, "park", park.signal or "", park.message, until=park.until)
        self._planner.park(happening.step, happening.item, wait)

    def _settle_request(self, happening: Happening, confirm: asyncio.Future[None]) -> None:
        """A task asks in its middle: for a checkpoint of writes, or that all before it be saved."""
        self._confirm.append(confirm)
        self._cut_now = True
        if happening.writes is None:
            return
        try:
            self._planner.checkpoint(happening.step, happening.item, happening.writes, happening.key)
        except StepError as error:
            self._confirm.remove(confirm)
            if not confirm.done():
                confirm.set_exception(error)
            return
        self._stand_at(happening.step, happening.visit, happening.item)

    def _stand_at(self, step: str, visit: int, item: int | None) -> None:
        self._last = Mark(step, visit, item, (), self._metadata[step])

    def _time_out(self) -> None:
        """The whole run took longer than its timeout: it fails, and what runs is ended."""
        self._deadline = None
        if self.state.failure is None:
            text = f"the run took longer than its timeout of {self.workflow.timeout_seconds:g} seconds"
            failure: JSONObject = {
                "step": "",
                "task": "",
                "error": "RunTimeout",
                "message": text,
                "attempts": 1,
                "reason": "RunTimeout",
            }
            self._planner.record(["failed", "", 0, None, failure, []])
        self._cancel_running()

    def _cancel_running(self) -> None:
        self._drain_until = None
        for running in self._running.values():
            running.cancel()

    # -- waits --------------------------------------------------------------------------------------------------

    def _wait_is_over(self) -> bool:
        due = waits.wake_at(self.state.parked())
        return due is not None and due <= utc_now()

    async def _answer(self) -> None:
        """Compare the waits with signals and the store's time; an answer is committed together with its use."""
        self._look = False
        parked = self.state.parked()
        if not parked:
            return
        # What was settled before must not share the signals' commit: that one is never split.
        self._planner.advance(utc_now())
        self._scan()
        self._cut(None, force=bool(self._events))
        await self._write(None)
        beat, signals = await self.control.look()
        over, refused = waits.judge(parked, signals, beat.now)
        for signal in refused:
            log.warning("signal was refused", extra={"task": signal.task, "problem": signal.problem})
            self._consumed.append(signal.number)
        for wait in over:
            self._finish_wait(wait)

    def _finish_wait(self, over: waits.Over) -> None:
        task = over.task
        if over.overdue:
            self._planner.fail(
                task.step, task.item, DeadlinePassed(f"nobody answered {task.key} before its deadline")
            )
        else:
            self._planner.wake(task, over.answer)
        if over.number is not None:
            self._consumed.append(over.number)
        self._linger_until = None
        self._stand_at(task.step, task.visit, task.item)

    # -- saving -------------------------------------------------------------------------------------------------

    def _cut(self, ending: Ending | None, *, force: bool = False) -> None:
        """Make a checkpoint of the events so far, where the policy, the size or the end asks for it."""
        if not self._events or self._scanned < len(self._events):
            return
        if not (force or ending is not None or self._every_step or self._due()):
            return
        last = self._last
        mark = Mark(last.step, last.visit, last.item, self.state.next_steps(), last.metadata)
        self.control.cut(self._events[:], self.state, mark)
        self._events.clear()
        self._scanned = self._pending_bytes = self._weighed = 0
        self._cut_now = False
        self._last_cut = time.monotonic()

    def _due(self) -> bool:
        """Whether the policy asks for a checkpoint now; EveryStep always does."""
        if self._cut_now or not self._last.step or self.state.failure is not None:
            return True
        policy = self.workflow.checkpoint
        fresh = self._events[self._weighed :]
        self._weighed = len(self._events)
        self._pending_bytes += len(orjson.dumps(fresh))
        if self._pending_bytes > FLUSH_BYTES:
            return True
        if policy.policy == "Interval":
            return time.monotonic() - self._last_cut >= policy.interval
        return policy.policy == "Barrier" and any(self._is_barrier(event) for event in self._events)

    def _is_barrier(self, event: list[object]) -> bool:
        if event[0] == "parked":
            return True
        return event[0] in ("ready", "enter") and self.workflow.steps[str(event[1])].joins

    async def _save(self, ending: Ending | None) -> None:
        """Make it durable as the Workflow asks, and let those who asked for it go on."""
        durability = self.workflow.checkpoint.durability
        must_wait = ending is not None or bool(self._confirm)
        if durability == "exit" and not must_wait and not self._consumed:
            return
        outcome = self._outcome(ending)
        if durability == "async" and not must_wait:
            await self._write_behind(outcome)
        else:
            await self._write(outcome)
        for confirm in self._confirm:
            if not confirm.done():
                confirm.set_result(None)
        self._confirm.clear()

    async def _write(self, outcome: Outcome | None) -> None:
        if self._saver is not None:
            await self._saver
            self._saver = None
        if outcome is not None or self.control.unsaved:
            await self._write_now(outcome)

    async def _write_behind(self, outcome: Outcome | None) -> None:
        """Let a save go on beside the tasks; wait only where too much is not durable yet."""
        if self._saver is not None and (
            self._saver.done() or outcome is not None or self.control.unsaved >= QUEUE_BOUND
        ):
            await self._saver
            self._saver = None
        if self._saver is None and (outcome is not None or self.control.unsaved):
            self._saver = asyncio.get_running_loop().create_task(self._write_now(outcome))
            self._saver.add_done_callback(lambda _: self._wakeup.set())

    async def _write_now(self, outcome: Outcome | None) -> None:
        await self.control.save(outcome)
        if self.on_saved is not None:
            self.on_saved()

    def _outcome(self, ending: Ending | None) -> Outcome | None:
        """The row's change, where phase or waits are not what the row says, or signals were used."""
        parked = self.state.parked()
        open_waits = tuple(task.wait for task in parked if task.wait)
        phase: Phase = ending.phase if ending else "Running"
        row = (phase, open_waits)
        if row == self._row and not self._consumed and (ending is None or ending.phase == "Waiting"):
            return None
        self._row = row
        consumed, self._consumed = tuple(self._consumed), []
        finished = phase in ("Succeeded", "Failed")
        return Outcome(
            phase=phase,
            reason=ending.reason if ending else "",
            message=ending.message if ending else "",
            waits=() if finished else open_waits,
            wake_at=None if finished else self._wake_at(parked),
            consumed=consumed,
        )

    def _wake_at(self, parked: list[Task]) -> datetime | None:
        """When a parked run is due by itself; its own timeout counts too."""
        moments = [moment for moment in (waits.wake_at(parked), self._times_out_at) if moment is not None]
        return min(moments, default=None)

    async def _end_all(self) -> None:
        """Leave nothing running behind."""
        for timer in self._delayed.values():
            timer.cancel()
        for running in self._running.values():
            running.cancel()
        left = [*self._running.values(), *([self._saver] if self._saver else [])]
        for happening in self._happened:
            if happening.confirm is not None:
                happening.confirm.cancel()
        for confirm in self._confirm:
            confirm.cancel()
        if left:
            await asyncio.gather(*left, return_exceptions=True)


class Port:
    """What one attempt may ask of the run while it runs."""

    __slots__ = ("_item", "_key", "_keys", "_loop", "_ordinal", "_step", "_visit")

    def __init__(  # noqa: PLR0913 - one per attempt, made in one place
        self, loop: RunLoop, step: str, visit: int, item: int | None, key: TaskKey, keys: Iterable[str]
    ) -> None:
        self._loop, self._step, self._visit, self._item, self._key = loop, step, visit, item, key
        self._keys = set(keys)
        self._ordinal = 0

    @property
    def draining(self) -> bool:
        """Whether the runner was asked to stop."""
        return self._loop.draining

    async def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes now; a key that this task has committed before is skipped.

        Raises:
            StepError: a write is refused or conflicts.
        """
        self._ordinal += 1
        name = key if key is not None else f"#{self._ordinal}"
        if name in self._keys:
            return
        copied = {channel: _copied(value, channel) for channel, value in writes.items()}
        await self._ask(copied, name)
        self._keys.add(name)

    async def save_progress(self, value: object) -> None:
        """Keep progress that survives a crash; what the task stands on is made durable first."""
        progress = _copied(value, "progress")
        loop = self._loop
        if loop.control.unsaved or loop.has_unsaved_events:
            await self._ask(None, "")
        try:
            await loop.control.put_progress(self._key, progress)
        except CairnError as error:
            loop.stop(error)
            # The attempt must not go on to a side effect that nobody may know of: wait to be cancelled.
            await asyncio.Event().wait()
        loop.progress[self._key] = orjson.dumps(progress)

    async def _ask(self, writes: Mapping[str, object] | None, key: str) -> None:
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        happening = Happening(
            self._key, self._step, self._visit, self._item, writes=writes, key=key, confirm=confirm
        )
        self._loop.ask(happening)
        await confirm


def _copied(value: object, path: str) -> JSONValue:
    try:
        return jsonify(value, path)
    except ValueError as error:
        raise WriteRefused(str(error)) from None
