"""What a running task brings to the loop, and what it may ask of its run.

A `Happening` is the end of an attempt, or a request in its middle; the loop settles them in the order in
which they came.
`Port` is the engine's side of the Context: a request is confirmed only when it is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from cairn_runtime.engine.context import Park
from cairn_runtime.engine.control import Control
from cairn_runtime.engine.execute import Returned
from cairn_runtime.engine.tracing import Result
from cairn_runtime.errors import CairnError, StepError, WriteRefused
from cairn_runtime.model.ids import TaskKey
from cairn_runtime.model.values import JSONValue, NotJSON, jsonify


@dataclass(slots=True)
class Happening:
    """What a running task brought: a return, an error, a park, its end without either, or a request."""

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

    @property
    def result(self) -> Result:
        """How an attempt ended, in one word."""
        if self.cancelled:
            return "cancelled"
        if self.error is not None:
            return "failed"
        return "done" if self.park is None else "parked"


class Host(Protocol):
    """What a port needs of its loop."""

    draining: bool
    control: Control
    progress: dict[str, bytes]

    def ask(self, happening: Happening) -> None:
        """Take a request."""

    def stop(self, error: BaseException) -> None:
        """End the loop with this error."""

    @property
    def unsaved(self) -> bool:
        """Whether anything was decided that is not durable."""
        ...


class Port:
    """What one attempt may ask of the run while it runs."""

    __slots__ = ("_host", "_keys", "_ordinal", "_place")

    def __init__(
        self, host: Host, place: tuple[TaskKey, str, int, int | None], keys: Collection[str]
    ) -> None:
        self._host = host
        self._place = place
        self._keys = keys
        self._ordinal = 0

    @property
    def draining(self) -> bool:
        """Whether the runner was asked to stop."""
        return self._host.draining

    async def checkpoint(self, writes: Mapping[str, object], key: str | None) -> None:
        """Commit writes now; a key that this task has committed before is skipped.

        Raises:
            StepError: a write is refused or conflicts, or the key is no text that can be stored.
        """
        self._ordinal += 1
        name = key if key is not None else f"#{self._ordinal}"
        if name in self._keys:
            return
        _copied(name, "key")
        copied = {channel: _copied(value, channel) for channel, value in writes.items()}
        await self._ask(copied, name)
        self._keys = {*self._keys, name}

    async def save_progress(self, value: object) -> None:
        """Keep progress that survives a crash; what the task stands on is made durable first."""
        progress = _copied(value, "progress")
        host, task = self._host, self._place[0]
        if host.unsaved:
            await self._ask(None, "")
        try:
            await host.control.put_progress(task, progress)
        except CairnError as error:
            host.stop(error)
            # The attempt must not go on to a side effect that nobody may know of: it waits to be cancelled.
            await asyncio.Event().wait()
        host.progress[task] = orjson.dumps(progress)

    async def _ask(self, writes: Mapping[str, object] | None, key: str) -> None:
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host.ask(Happening(*self._place, writes=writes, key=key, confirm=confirm))
        await confirm


def _copied(value: object, path: str) -> JSONValue:
    try:
        return jsonify(value, path)
    except NotJSON as error:
        raise WriteRefused(str(error)) from None
