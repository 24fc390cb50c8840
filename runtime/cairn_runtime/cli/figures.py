"""How much there is: runs by phase, checkpoints and bytes that lie in the store now, and how the store is.

A run's own counts are of what it ever wrote; here the store counts what is still there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from cairn_runtime.cli.finding import the_runs
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views.texts import Column, table
from cairn_runtime.cli.views.units import age, counted, size
from cairn_runtime.errors import EXIT_DONE
from cairn_runtime.model.ids import short_id, to_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import MAX_HEADS, Health, Run, Store, Usage

_LARGEST = 10
_NOTHING = Usage(0, 0, None, None)
_COLUMNS = (
    Column("WORKFLOW", shrinks=True),
    Column("RUN"),
    Column("PHASE"),
    Column("CHECKPOINTS", right=True),
    Column("SIZE", right=True),
)


@dataclass(slots=True)
class Figures:
    """What was counted."""

    phases: Counter[str] = field(default_factory=Counter)
    whole: Usage = _NOTHING
    runs: list[tuple[Run, Usage]] = field(default_factory=list)

    @property
    def largest(self) -> list[tuple[Run, Usage]]:
        """The runs that use most, largest first."""
        return sorted(self.runs, key=lambda pair: pair[1].bytes, reverse=True)[:_LARGEST]

    def add(self, run: Run, use: Usage) -> None:
        """Count a run."""
        whole = self.whole
        self.phases[run.phase] += 1
        self.runs.append((run, use))
        self.whole = Usage(
            whole.checkpoints + use.checkpoints,
            whole.bytes + use.bytes,
            min((at for at in (whole.oldest, use.oldest) if at is not None), default=None),
            max((at for at in (whole.newest, use.newest) if at is not None), default=None),
        )


async def show_figures(output: Output, url: str | None, workflow: str) -> int:
    """Count and show; of one Workflow where its name is given."""
    async with existing_store(url) as store:
        health = await store.check()
        found = await the_runs(store, workflow) if workflow else [run async for run in all_runs(store)]
        figures = await _counted(store, found)
    if output.for_people:
        output.text(_lines(store.url, health, figures, output.now, output.width))
    else:
        output.document(_document(store.url, health, figures))
    return EXIT_DONE


async def _counted(store: Store, found: list[Run]) -> Figures:
    """Ask for what runs use; one that is deleted meanwhile is left out."""
    figures = Figures()
    for start in range(0, len(found), MAX_HEADS):
        runs = found[start : start + MAX_HEADS]
        usage = await store.usage([run.run_id for run in runs])
        for run in runs:
            if run.run_id in usage:
                figures.add(run, usage[run.run_id])
    return figures


def _document(url: str, health: Health, figures: Figures) -> JSONObject:
    whole = figures.whole
    largest: list[JSONValue] = [
        {
            "run": run.run_id,
            "workflow": workflow_name(run),
            "phase": run.phase,
            "checkpoints": use.checkpoints,
            "bytes": use.bytes,
        }
        for run, use in figures.largest
    ]
    return {
        "store": {
            "url": url,
            "kind": health.kind,
            "usedBytes": health.used_bytes,
            "freeBytes": health.free_bytes,
            "latencySeconds": health.latency_seconds,
        },
        "runs": dict(sorted(figures.phases.items())),
        "checkpoints": whole.checkpoints,
        "bytes": whole.bytes,
        "oldest": None if whole.oldest is None else to_wire(whole.oldest),
        "newest": None if whole.newest is None else to_wire(whole.newest),
        "largest": largest,
    }


def _lines(url: str, health: Health, figures: Figures, now: datetime, width: int) -> list[str]:
    whole = figures.whole
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(figures.phases.items()))
    lines = [
        f"{url}: answers in {health.latency_seconds * 1000:.1f} ms{_room(health)}",
        f"{counted(figures.phases.total(), 'run')}{f': {phases}' if phases else ''}",
        f"{counted(whole.checkpoints, 'checkpoint')}, {size(whole.bytes)}",
    ]
    if whole.oldest is not None and whole.newest is not None:
        lines[-1] += f"; the oldest {age(whole.oldest, now)} ago, the newest {age(whole.newest, now)} ago"
    if not figures.runs:
        return lines
    cells = [
        (workflow_name(run), short_id(run.run_id), run.phase, str(use.checkpoints), size(use.bytes))
        for run, use in figures.largest
    ]
    return [*lines, "", *table(_COLUMNS, cells, width)]


def _room(health: Health) -> str:
    used = "" if health.used_bytes is None else f"; {size(health.used_bytes)} used"
    return used if health.free_bytes is None else f"{used}, {size(health.free_bytes)} free"
