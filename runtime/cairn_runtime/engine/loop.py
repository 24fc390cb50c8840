"""The loop of a run: start what is ready, wait for what happens, decide, save, again.

    start ──> happen ──> settle (plan) ──> cut (policy) ──> save (durability) ──┐
      ^                                                                          │
      └──────────────────────────────────────────────────────────────────────────┘

Deciding is `plan`'s, writing is `saving`'s, executing is `execute`'s; the loop only says when.
Under `sync` a task starts after the checkpoint that made it ready is durable, because saving comes before
starting. One loop per run, on one event loop; other threads reach it by `call_soon_threadsafe` only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import orjson

from cairn_runtime.engine import waits
from cairn_runtime.engine.compiled import CompiledStep, CompiledWorkflow
from cairn_runtime.engine.context import Call, Park, State
from cairn_runtime.engine.control import Control
from cairn_runtime.engine.execute import Action, Executor
from cairn_runtime.engine.execute.faults import bounded, name_of, names_of
from cairn_runtime.engine.frontier import RunState, failure_text
from cairn_runtime.engine.plan import Planner
from cairn_runtime.engine.port import Happening, Port
from cairn_runtime.engine.readiness import Readiness, Start
from cairn_runtime.engine.retry import attempt_timeout, delay, may_retry
from cairn_runtime.engine.saving import Ending, Saving
from cairn_runtime.engine.tracing import Tracer
from cairn_runtime.errors import CairnError, DeadlinePassed, StepError, StepFailed
from cairn_runtime.model.ids import TaskKey, parse_task_key, task_key, utc_now
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Wait

__all__ = ["Ending", "RunLoop"]

log = logging.getLogger("cairn.loop")


class RunLoop:
    """Runs one run until it is over, waits with nothing else to do, or is drained."""

    def __init__(  # noqa: PLR0913 - wired in one place, by the session
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
    ) -> None:
        self.workflow = workflow
        self.state = state
        self.control = control
        self.progress = progress or {}
        self.draining = False
        self.on_saved: Callable[[], None] | None = None
        """Called after every commit, on the loop's thread."""
        self._tracer: Tracer | None = None
        self._executor = executor
        self._key_base = key_base
        self._linger_seconds = linger_seconds
        self._planner = Planner(workflow, state, [])
        self._seen = 0
        self._running: dict[TaskKey, asyncio.Task[None]] = {}
        self._delayed: dict[TaskKey, asyncio.TimerHandle] = {}
        self._happened: deque[Happening] = deque()
        self._actions: dict[str, Action] = {}
        self._streaks: dict[str, int] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._noticed = False
        self._look = True
        self._fatal: BaseException | None = None
        self._drain_until: float | None = None
        self._linger_until: float | None = None
        self._ahead_seconds = 0.0
        """By how much this machine's clock was ahead of the store's, which decides, at the last look."""
        self._deadline: float | None = None
        times_out_at = None
        if workflow.timeout_seconds is not None and started_at is not None:
            times_out_at = started_at + timedelta(seconds=workflow.timeout_seconds)
            self._deadline = time.monotonic() + (times_out_at - utc_now()).total_seconds()
        self._readiness = Readiness(workflow, state)
        self._saving = Saving(
            workflow,
            state,
            self._planner.events,
            control,
            times_out_at=times_out_at,
            on_saved=self._saved,
        )
        self._saving.on_behind = self._notice

    # -- from outside ----------------------------------------------

    def begin(self) -> None:
        """Give a new run its channels and first tokens. Raises `WriteRefused` where input does not fit."""
        self._planner.begin(self.workflow.input)

    def trace(self, tracer: Tracer) -> None:
        """Tell a tracer of every attempt and every save from now on."""
        self._tracer = self._saving.tracer = tracer

    def poke(self) -> None:
        """Say that signals may have come."""
        self._look = True
        self._notice()

    def drain(self, grace_seconds: float) -> None:
        """Start nothing new, give running tasks so long, then end; asked again, the earlier end counts."""
        self.draining = True
        until = time.monotonic() + grace_seconds
        self._drain_until = until if self._drain_until is None else min(until, self._drain_until)
        self._notice()

    def stop(self, error: BaseException) -> None:
        """End at once, saving nothing more: this runner is superseded, or its store is gone."""
        if self._fatal is None:
            self._fatal = error
        self._notice()

    def ask(self, happening: Happening) -> None:
        """Take what a running task brings."""
        self._happened.append(happening)
        self._notice()

    def alone(self) -> bool:
        """Whether no task runs, so that nothing needs the event loop before the next save is over."""
        return not self._running

    @property
    def unsaved(self) -> bool:
        """Whether anything was decided that is not durable."""
        return bool(self.control.unsaved or self._planner.events)

    # -- the loop ----------------------------------------------

    async def run(self) -> Ending:
        """Run until the run is over, waits, or is drained.

        Raises:
            Superseded, RunNotFound, StoreUnavailable: the store's last word; nothing more was written.
            CheckpointTooLarge: one step's writes are over the bound of a checkpoint.
        """
        try:
            for name in [name for name, group in self.state.groups.items() if group.failure is not None]:
                self._planner.give_up_group(name)
            while True:
                self._noticed = False
                self._advance()
                ending = self._ending()
                self._cut(force=ending is not None)
                await self._saving.save(ending)
                if ending is not None and not self._may_linger(ending):
                    return ending
                self._start()
                await self._happen()
                await self._settle()
        finally:
            await self._end_all()

    def _advance(self) -> None:
        """Plan on, and queue what became ready."""
        if self.state.tokens:
            self._planner.advance(utc_now())
        events = self._planner.events
        self._readiness.see(events, self._seen)
        self._seen = len(events)

    def _cut(self, *, force: bool = False) -> None:
        if self._saving.cut(force=force):
            self._seen = 0

    def _ending(self) -> Ending | None:
        """Why there is nothing to wait for but other people; None while anything is under way."""
        if self._running or self._happened:
            return None
        state = self.state
        if state.failure is not None:
            return Ending("Failed", str(state.failure["reason"]), failure_text(state.failure))
        if self._delayed or self._readiness.any():
            if self.draining:
                return Ending("Running", "Drained", "the runner was asked to stop", drained=True)
            return None
        if state.idle:
            return Ending("Succeeded")
        if state.waiting:
            return Ending("Waiting")
        raise AssertionError(f"the run is stuck: tokens on {list(state.tokens)}")

    def _may_linger(self, ending: Ending) -> bool:
        """Whether to stay for a wait that may be over soon; starting a new runner would take longer."""
        if ending.phase != "Waiting" or self.draining:
            return False
        now = time.monotonic()
        if self._linger_until is None:
            self._linger_until = now + self._linger_seconds
        due = waits.wake_at(self.state.parked())
        if self._look or (due is not None and (due - utc_now()).total_seconds() <= self._linger_seconds):
            return True
        return now < self._linger_until

    # -- starting ----------------------------------------------

    def _start(self) -> None:
        if self.draining or self.state.failure is not None or self._fatal is not None:
            return
        create_task = asyncio.get_running_loop().create_task
        for start in self._readiness.take():
            call = self._call(start)
            self._running[call.task] = create_task(self._attempt(start.step, call))  # type: ignore[index]

    def _call(self, start: Start) -> Call:
        step, visit, item, task = start
        name = step.name
        key = task.key if task is not None else task_key(name, visit, item)
        progress = self.progress.get(key)
        attempt = task.failures + 1 if task is not None else 1
        return Call(
            run_id=self.control.run_id,
            task=key,
            step=name,
            visit=visit,
            index=item,
            item=None if item is None else self.state.groups[name].items[item],
            attempt=attempt,
            key_base=self._key_base,
            state=State(self.state.channels.copy()),
            progress=None if progress is None else orjson.loads(progress),
            signal=task.answer if task is not None else None,
            timeout_seconds=attempt_timeout(step.retry, attempt, step.spec.timeout),
            port=Port(self, (key, name, visit, item), task.keys if task is not None else ()),
        )

    async def _attempt(self, step: CompiledStep, call: Call) -> None:
        """Make one attempt; whatever comes of it is something that happened, never an exception here."""
        happening = Happening(TaskKey(call.task), step.name, call.visit, call.index)
        span = None if self._tracer is None else self._tracer.task(call)
        try:
            action = self._actions.get(step.name)
            if action is None:
                action = self._actions[step.name] = self._executor.prepare(step.spec)
            happening.returned = await self._executor.execute(action, call)
        except Park as park:
            happening.park = park
        except StepError as error:
            happening.error = error
        except CairnError as error:
            # Of another run or store, which the step itself asked: a port answers with no such error.
            happening.error = StepFailed(error.message, error=name_of(type(error)), mro=names_of(type(error)))
        except asyncio.CancelledError:
            happening.cancelled = True
        except BaseException as error:  # noqa: BLE001 - a fault of ours must end the run, not hang it
            self.stop(error)
            happening.cancelled = True
        if span is not None:
            span.end(happening.result, "" if happening.error is None else happening.error.error)
        self.ask(happening)

    # -- waiting for something to happen ----------------------------------------------

    def _notice(self) -> None:
        self._noticed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _saved(self) -> None:
        if self.on_saved is not None:
            self.on_saved()

    async def _happen(self) -> None:
        """Wait until a task ends or asks, somebody pokes, or a moment comes."""
        if self._running and not self._is_noticed():
            # One turn of the event loop is enough for a task that never waits: no future, no timer.
            await asyncio.sleep(0)
        if not self._is_noticed():
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            seconds = self._until_next_moment()
            timer = None if seconds is None else loop.call_later(max(seconds, 0.0), self._notice)
            await self._waiter
            self._waiter = None
            if timer is not None:
                timer.cancel()
        self._saving.check()
        if self._fatal is not None:
            raise self._fatal

    def _is_noticed(self) -> bool:
        """Whether anything has come since the loop last looked; what came during a save counts."""
        return self._noticed or bool(self._happened) or self._fatal is not None

    def _until_next_moment(self) -> float | None:
        """Seconds until something is due by itself; None: never."""
        at_rest = self.draining or self.state.failure is not None
        if self._look and not at_rest and self.state.waiting:
            return 0.0
        moments = [self._deadline, self._drain_until, self._saving.due_at()]
        now = time.monotonic()
        if self._linger_until is not None and self._linger_until > now:
            moments.append(self._linger_until)
        if self.state.waiting and not at_rest:
            due = waits.wake_at(self.state.parked())
            if due is not None:
                moments.append(now + self._seconds_until(due))
        return min((moment - now for moment in moments if moment is not None), default=None)

    def _seconds_until(self, due: datetime) -> float:
        """How long until something is due by the store's clock, as far as that is known."""
        return (due - utc_now()).total_seconds() + self._ahead_seconds

    # -- settling ----------------------------------------------

    async def _settle(self) -> None:
        """Turn what happened into events, each task's under its own checkpoint where the policy says so."""
        if self._deadline is not None or self._drain_until is not None:
            self._settle_time(time.monotonic())
        while self._happened:
            self._settle_one(self._happened.popleft())
            if self._happened:
                self._advance()
                self._cut()
        if self._fatal is not None:
            raise self._fatal
        if self.state.waiting and not self.draining and self.state.failure is None:
            due = waits.wake_at(self.state.parked())
            if self._look or (due is not None and self._seconds_until(due) <= 0):
                await self._answer()

    def _settle_time(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._time_out()
        if self._drain_until is not None and now >= self._drain_until:
            self._drain_until = None
            self._cancel_running()

    def _settle_one(self, happening: Happening) -> None:
        if happening.confirm is not None:
            self._settle_request(happening, happening.confirm)
            return
        step, item = happening.step, happening.item
        del self._running[happening.task]
        if happening.cancelled:
            # It is ready still: this loop is draining or over, and the next runner starts it again.
            self._readiness.again(step, item)
        else:
            self._linger_until = None
            self._settle_end(happening)
            self._saving.stand_at(step, happening.visit, item)
        if item is not None:
            left = self._readiness.ended(step)
            group = self.state.groups.get(step)
            if group is not None and group.failure is not None and not left:
                self._drop_retries(step)
                self._planner.give_up_group(step)

    def _settle_end(self, happening: Happening) -> None:
        step, item, returned = happening.step, happening.item, happening.returned
        try:
            if happening.error is not None:
                raise happening.error
            if happening.park is not None:
                park = happening.park
                wait = Wait(
                    happening.task, "park", park.signal or "", bounded(park.message), until=park.until
                )
                self._planner.park(step, item, wait)
                self._look = True
            elif returned is not None:
                if item is None:
                    self._planner.finish(step, returned.value, returned.goto)
                else:
                    self._planner.finish_item(step, item, returned.value, returned.goto)
            self._streaks.pop(step, None)
        except StepError as error:
            self._settle_error(happening, error)

    def _settle_error(self, happening: Happening, error: StepError) -> None:
        """Try again later, or let the task fail for good."""
        # It may quote what a step named its channels or chose to follow.
        error.args = (bounded(error.message),)
        step, item, key = happening.step, happening.item, happening.task
        settings = self.workflow.steps[step].retry
        task = self.state.task(step, item)
        streak = self._streaks[step] = self._streaks.get(step, 0) + 1
        pause = None
        if may_retry(settings, error) and self.state.failure is None:
            jitter = random.random()  # noqa: S311 - spreads tries, guards nothing
            pause = delay(settings, task.failures + 1, jitter, streak=streak)
        if pause is None:
            log.error("task failed", extra={"task": key, "error": error.error})
            self._planner.fail(step, item, error)
            return
        log.warning(
            "attempt failed", extra={"task": key, "error": error.error, "retry_seconds": round(pause, 3)}
        )
        self._planner.record(["tried", step, task.visit, item, error.error, error.message])
        loop = asyncio.get_running_loop()
        self._delayed[key] = loop.call_later(pause, partial(self._retry, step, item, key))

    def _retry(self, step: str, item: int | None, key: TaskKey) -> None:
        del self._delayed[key]
        if self.state.failure is None:
            self._readiness.again(step, item)
        self._notice()

    def _drop_retries(self, step: str) -> None:
        """Forget the tries that a foreach still had planned: it is given up."""
        for key in [key for key in self._delayed if parse_task_key(key)[0] == step]:
            self._delayed.pop(key).cancel()

    def _settle_request(self, happening: Happening, confirm: asyncio.Future[None]) -> None:
        """A task asks in its middle: for a checkpoint of writes, or that all before it be durable."""
        if happening.writes is not None:
            try:
                self._planner.checkpoint(happening.step, happening.item, happening.writes, happening.key)
            except StepError as error:
                if not confirm.done():
                    confirm.set_exception(error)
                return
            self._saving.stand_at(happening.step, happening.visit, happening.item)
        self._saving.ask(confirm)

    def _time_out(self) -> None:
        """The whole run took longer than its timeout: it fails, and what runs is ended."""
        if self.state.failure is None:
            text = f"the run took longer than its timeout of {self.workflow.timeout_seconds:g} seconds"
            failure: JSONObject = {"step": "", "task": "", "error": "RunTimeout", "message": text}
            self._planner.record(
                ["failed", "", 0, None, {**failure, "attempts": 1, "reason": "RunTimeout"}, []]
            )
        self._cancel_running()

    def _cancel_running(self) -> None:
        for running in self._running.values():
            running.cancel()

    # -- waits ----------------------------------------------

    async def _answer(self) -> None:
        """Compare the waits with signals and the store's time; an answer is committed together with its
        use.
        """
        self._look = False
        # What was settled before must not share the signals' commit: that one is never split.
        self._advance()
        self._cut(force=True)
        if self.control.unsaved:
            await self._saving.write()
        beat, signals = await self.control.look()
        self._ahead_seconds = (utc_now() - beat.now).total_seconds()
        over, refused = waits.judge(self.state.parked(), signals, beat.now)
        for signal in refused:
            log.warning("signal was refused", extra={"task": signal.task, "problem": signal.problem})
            self._saving.consumed.append(signal.number)
        for wait in over:
            self._finish_wait(wait)

    def _finish_wait(self, over: waits.Over) -> None:
        task = over.task
        if over.overdue:
            error = DeadlinePassed(f"nobody answered {task.key} before its deadline")
            self._planner.fail(task.step, task.item, error)
        else:
            self._planner.wake(task, over.answer)
        if over.number is not None:
            self._saving.consumed.append(over.number)
        self._linger_until = None
        self._saving.stand_at(task.step, task.visit, task.item)

    async def _end_all(self) -> None:
        """Leave nothing running behind, and nobody waiting for an answer."""
        for timer in self._delayed.values():
            timer.cancel()
        left = list(self._running.values())
        self._cancel_running()
        for happening in self._happened:
            if happening.confirm is not None:
                happening.confirm.cancel()
        await self._saving.close()
        if left:
            await asyncio.gather(*left, return_exceptions=True)
