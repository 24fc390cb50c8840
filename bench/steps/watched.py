"""Steps of runner processes that are watched from outside; each leaves a line in the file `$BENCH_LOG`.

It imports nothing of ours: what a runner takes to start is Cairn's, and not the benchmark's.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

_log = -1


async def logged(_state: Any, ctx: Any) -> int:  # noqa: ANN401 - the Context's own types would be an import
    """An item's result, after a line `time pid position`: the side effect that is counted."""
    global _log  # noqa: PLW0603 - one descriptor for the process
    if _log < 0:
        _log = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_log, b"%020d %08d %06d\n" % (time.monotonic_ns(), os.getpid(), ctx.index))
    return int(ctx.item) * 2


async def begun(_state: Any) -> None:  # noqa: ANN401 - as above
    """Write down when this was reached, and the processor time and the most memory (KiB) taken until then."""
    now, cpu = time.monotonic_ns(), time.process_time()
    status = Path("/proc/self/status").read_text()  # noqa: ASYNC240 - nothing else runs
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    Path(os.environ["BENCH_LOG"]).write_text(f"{now} {cpu} {peak}\n")  # noqa: ASYNC240 - as above
