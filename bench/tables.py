"""Numbers to a table: median and range of each side, who is faster, and whether the bar is met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.rounds import Series
from bench.rows import Bar, Case, Row

HEAD = ("what", "unit", "Cairn", "CPU", "LangGraph", "CPU", "ratio", "bar")
SAVERS = {"none": "", "memory": "", "aiosqlite": "AsyncSqliteSaver", "sqlite": "SqliteSaver"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One side's numbers in one row."""

    case: Case
    values: list[float]
    cpu: list[float]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its numbers."""

    row: Row
    cairn: Figure | None
    rival: Figure | None
    problem: str

    @property
    def ratio(self) -> float | None:
        """How many times LangGraph's number is Cairn's: median of the rounds that both made."""
        if self.cairn is None or self.rival is None:
            return None
        pairs = [b / a for a, b in zip(self.cairn.values, self.rival.values, strict=False) if a]
        return statistics.median(pairs) if pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar or without a number."""
        return None if self.row.bar is None or self.cairn is None else _meets(self.row.bar, self)


def line_of(row: Row, series: Mapping[str, Series]) -> Line:
    """Put the numbers to a row; of LangGraph's ways the one with the least median."""
    rivals = [found for case in row.rivals if (found := _figure(case, row, series)) is not None]
    problems = [series[case.key].problem for case in (row.cairn, *row.rivals) if case is not None]
    return Line(
        row,
        None if row.cairn is None else _figure(row.cairn, row, series),
        min(rivals, key=lambda figure: figure.median, default=None),
        "; ".join(problem for problem in problems if problem),
    )


def markdown(lines: Sequence[Line], *, judged: bool) -> str:
    """The table, aligned, in Markdown; without judgement where sizes are not those of the bars."""
    cells = [HEAD, *(_cells(line, judged=judged) for line in lines)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(HEAD))]
    texts = ["| " + " | ".join(cell.ljust(widths[n]) for n, cell in enumerate(row)) + " |" for row in cells]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def to_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The rows with every round of every number."""
    return [
        {
            "what": line.row.title,
            "unit": line.row.unit,
            "cairn": _figure_to_json(line.cairn),
            "langgraph": _figure_to_json(line.rival),
            "ratio": line.ratio,
            "bar": None if line.row.bar is None else {"kind": line.row.bar.kind, "value": line.row.bar.value},
            "met": line.met,
            "problem": line.problem,
        }
        for line in lines
    ]


def number(value: float) -> str:
    """A number with three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def _figure(case: Case, row: Row, series: Mapping[str, Series]) -> Figure | None:
    found = series[case.key]
    values = found.values(row.quantity)
    return Figure(case, values, found.values(row.cpu) if row.cpu else []) if values else None


def _meets(bar: Bar, line: Line) -> bool | None:
    if bar.kind == "at most":
        return line.cairn is not None and line.cairn.median <= bar.value
    return None if line.ratio is None else line.ratio >= bar.value


def _cells(line: Line, *, judged: bool) -> tuple[str, ...]:
    ratio = line.ratio
    return (
        line.row.title,
        line.row.unit,
        _text(line.cairn) or (line.problem[:60] if line.row.cairn else "-"),
        _cpu(line.cairn),
        _text(line.rival) or (line.problem[:60] if line.row.rivals else "-"),
        _cpu(line.rival),
        "-" if ratio is None else number(ratio),
        _verdict(line, judged=judged),
    )


def _text(figure: Figure | None) -> str:
    """`median (least - most)`, and the saver where there is a choice."""
    if figure is None:
        return ""
    spread = (
        f" ({number(min(figure.values))} - {number(max(figure.values))})"
        if len(figure.values) > 1
        else " (once)"
    )
    saver = SAVERS.get(str(figure.case.parameters.get("saver", "")), "")
    return number(figure.median) + spread + (f" {saver}" if saver else "")


def _cpu(figure: Figure | None) -> str:
    return number(statistics.median(figure.cpu)) if figure is not None and figure.cpu else "-"


def _verdict(line: Line, *, judged: bool) -> str:
    bar = line.row.bar
    if bar is None:
        return "-"
    text = f"at most {number(bar.value)}" if bar.kind == "at most" else f"ratio at least {number(bar.value)}"
    met = line.met
    return text if met is None or not judged else f"{text}: {'met' if met else 'NOT MET'}"


def _figure_to_json(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {
        "case": figure.case.key,
        "median": figure.median,
        "min": min(figure.values),
        "max": max(figure.values),
        "rounds": figure.values,
        "cpu": figure.cpu,
    }
