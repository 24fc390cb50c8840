"""A process that runs one step and nothing else, to be killed.

python runner.py CODE_FOLDER JSON   where JSON has the step's fields, and timeout, watchdog, forked if wanted
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from cairn_runtime.engine.context import Call, State
from cairn_runtime.engine.execute import CodeSource, Executor, Watchdog
from cairn_runtime.model.workflow import Step


class NoPort:
    draining = False

    async def checkpoint(self, writes: object, key: str | None) -> None: ...

    async def save_progress(self, value: object) -> None: ...


async def main(folder: str, asked: dict[str, Any]) -> None:
    timeout, grace = asked.pop("timeout", None), asked.pop("watchdog", None)
    forked = asked.pop("forked", False)
    executor = Executor(
        code=CodeSource(folder), watchdog=None if grace is None else Watchdog(grace, deaf_seconds=2.0)
    )
    action = executor.prepare(Step.model_validate({"name": "draft", **asked}))
    call = Call("run", "draft#1", "draft", 1, None, None, 1, "base", State({}), None, None, timeout, NoPort())
    task = asyncio.create_task(executor.execute(action, call))
    if forked:
        await asyncio.sleep(0.5)
        fork(folder)
    await task
    await executor.close()


def fork(folder: str) -> None:
    """Have a copy of this process that holds all its descriptors, as a step's `multiprocessing` may."""
    if os.fork() == 0:
        with open(os.path.join(folder, "fork"), "w") as file:  # noqa: PTH118, PTH123 - in a forked process
            file.write(str(os.getpid()))
        time.sleep(600)
        os._exit(0)


if __name__ == "__main__":
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(where)s", defaults={"where": ""}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
