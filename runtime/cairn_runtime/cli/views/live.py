"""The live table of `cairn run`, drawn with rich; the board says what, this file says how it looks.

Imported only where a table is alive on a terminal: rich takes a tenth of a second to load.
"""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cairn_runtime.cli.views.boards import Row, fitting
from cairn_runtime.cli.views.pictures import Standing
from cairn_runtime.cli.views.texts import cut, plain
from cairn_runtime.cli.views.units import span

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_LOOKS: dict[Standing, tuple[str, str]] = {
    "todo": ("·", "dim"),
    "ready": ("◇", "cyan"),
    "running": ("", "bold cyan"),
    "waiting": ("◷", "yellow"),
    "done": ("✓", "green"),
    "skipped": ("◌", "dim"),
    "failed": ("✗", "bold red"),
}
PHASES = {
    "Running": "cyan",
    "Pending": "cyan",
    "Waiting": "yellow",
    "Succeeded": "green",
    "Failed": "red",
    "Cancelled": "red",
}
_BESIDE = 6
"""Lines of the screen that are not rows: a blank one, the header, what is left out, and the prompt."""
_BAR = 24
_WIDEST = 100
"""Columns that a row uses at most: the eye must find its end."""


def frame(head: Text, rows: list[Row], *, seconds: float, width: int, height: int) -> RenderableType:
    """Draw the header and as many rows as the screen has room for."""
    shown, left_out = fitting(rows, max(height - _BESIDE, 3))
    width = min(width, _WIDEST)
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    # A fixed width for each column keeps the table from jumping as numbers grow.
    names = max((len(row.name) for row in shown), default=4)
    table.add_column(width=1)
    table.add_column(width=min(names, 32), no_wrap=True, overflow="ellipsis")
    table.add_column(width=max(width - min(names, 32) - 14, 12), no_wrap=True, overflow="ellipsis")
    table.add_column(width=7, justify="right", no_wrap=True)
    for row in shown:
        table.add_row(*_cells(row, seconds, max(width - names - 14, 12)))
    parts: list[RenderableType] = [Text(), head, table]
    if left_out:
        parts.append(Text(f"  and {left_out} more steps", style="dim"))
    return Group(*parts)


def header(*, workflow: str, run: str, phase: str, facts: list[str], width: int) -> Text:
    """The line above the table: workflow, run, phase, and the facts that have room."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(plain(workflow), style="bold")
    line.append(f"  {run}  ", style="dim")
    line.append(phase, style=f"bold {PHASES.get(phase, 'cyan')}")
    for fact in facts:
        if line.cell_len + len(fact) + 3 > width:
            break
        line.append(f"  {fact}", style="dim")
    return line


def printed(task: str, text: str, level: str) -> Text:
    """A line that a step printed, for above the table."""
    line = Text()
    if task:
        line.append(f"{task} ", style="dim")
        line.append("│ ", style="dim")
    line.append(text, style={"warning": "yellow", "error": "red", "critical": "bold red"}.get(level, ""))
    return line


def note(text: str) -> Text:
    """A line of our own above the table."""
    return Text(text, style="yellow")


def new_console() -> Console:
    """The console of standard output; colours only where they are wanted (rich reads NO_COLOR)."""
    return Console(highlight=False, soft_wrap=False)


def _cells(row: Row, seconds: float, width: int) -> list[RenderableType]:
    sign, style = _LOOKS[row.standing]
    if row.standing == "running":
        sign = _SPINNER[int(seconds * 8) % len(_SPINNER)]
    took = span(row.seconds) if row.seconds is not None else ""
    return [
        Text(sign, style=style),
        Text(row.name, style=style),
        _middle(row, width),
        Text(took, style="dim"),
    ]


def _middle(row: Row, width: int) -> RenderableType:
    """The bar of a foreach, the visit of a loop, the attempt of a task that is tried again, and the note."""
    words = [f"visit {row.visits}"] if row.visits > 1 else []
    if row.attempt:
        words.append(f"attempt {row.attempt}")
    if row.note:
        words.append(plain(row.note))
    text = Text(
        "  ".join(words), style="red" if row.standing == "failed" else "yellow" if row.note else "dim"
    )
    if not row.total:
        return text
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=min(_BAR, max(width - 20, 6)))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    bar = ProgressBar(total=row.total, completed=row.done, complete_style="cyan", finished_style="green")
    grid.add_row(bar, Text(f"{row.done}/{row.total}", style="dim"), cut_text(text, max(width - _BAR - 14, 4)))
    return grid


def cut_text(text: Text, width: int) -> Text:
    """Shorten a styled text."""
    return Text(cut(text.plain, width), style=text.style)
