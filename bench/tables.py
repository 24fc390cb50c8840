"""Numbers to a table: median and range of each side, who is faster, and whether the bars are met. Pure.

One table for each part: the local stores beside LangGraph, the servers beside LangGraph, DBOS and the floor.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cases import Bar, Case, Part, Rival, Row
from bench.rounds import Series

RIVALS: dict[Part, tuple[Rival, ...]] = {"local": ("langgraph",), "servers": ("langgraph", "dbos", "floor")}
NAMES: dict[str, str] = {"langgraph": "LangGraph", "dbos": "DBOS", "floor": "INSERT"}
WAYS = {
    "aiosqlite": "AsyncSqliteSaver",
    "sqlite": "SqliteSaver",
    "postgres": "one connection",
    "postgres-pipeline": "pipeline",
    "postgres-pool": "pool",
    "postgres-plain": "PostgresSaver",
    "postgres-each": "a saver a run",
    "postgres-threads": "a PostgresSaver a run",
    "plain": "sync",
    "plain-no-ping": "sync, no ping",
    "async": "async",
}
"""How a rival did it, where it has several ways; absent: there is nothing to say."""


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
    rivals: Mapping[str, Figure]
    """The fastest way of each rival that has a number, by its side."""
    problem: str

    def ratio(self, rival: Rival) -> float | None:
        """How many times as fast as a rival Cairn is: median of the rounds that both made."""
        theirs = self.rivals.get(rival)
        if self.cairn is None or theirs is None:
            return None
        pairs = list(zip(self.cairn.values, theirs.values, strict=False))
        if self.row.more_is_better:
            pairs = [(b, a) for a, b in pairs]
        found = [b / a for a, b in pairs if a]
        return statistics.median(found) if found else None

    def of_the_floor(self) -> float | None:
        """How many times the floor's number is Cairn's."""
        ratio = self.ratio("floor")
        return 1 / ratio if ratio else None

    def met(self, bar: Bar) -> bool | None:
        """Whether a bar is met; None without the numbers."""
        if self.cairn is None:
            return None
        if bar.kind == "at most":
            return self.cairn.median <= bar.value
        if bar.kind == "of the floor":
            floor = self.of_the_floor()
            return None if floor is None else floor <= bar.value
        ratio = self.ratio(bar.rival)
        return None if ratio is None else ratio >= bar.value


def line_of(row: Row, series: Mapping[str, Series]) -> Line:
    """Put the numbers to a row; of a rival's ways the one with the best median."""
    rivals: dict[str, Figure] = {}
    for case in row.rivals:
        found, best = _figure(case, row, series), rivals.get(case.side)
        if found is not None and (best is None or _better(found, best, row)):
            rivals[case.side] = found
    cases = [case for case in (row.cairn, *row.rivals) if case is not None]
    problems = [f"{case.key}: {series[case.key].problem}" for case in cases if series[case.key].problem]
    cairn = None if row.cairn is None else _figure(row.cairn, row, series)
    return Line(row, cairn, rivals, "; ".join(problems))


def markdown(lines: Sequence[Line], part: Part, *, judged: bool) -> str:
    """The table of one part, aligned, in Markdown; `judged`: the sizes are those of the bars."""
    cells = _table(lines, part, judged=judged, cpu=True)
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    texts = ["| " + " | ".join(cell.ljust(widths[n]) for n, cell in enumerate(row)) + " |" for row in cells]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def compact(lines: Sequence[Line], part: Part, *, judged: bool) -> str:
    """The same for a page: without processor times and without alignment."""
    head, *rows = ["| " + " | ".join(row) + " |" for row in _table(lines, part, judged=judged, cpu=False)]
    return "\n".join([head, "| " + " | ".join(["---"] * (head.count("|") - 1)) + " |", *rows])


def to_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The rows with every round of every number."""
    return [
        {
            "what": line.row.title,
            "part": line.row.part,
            "unit": line.row.unit,
            "cairn": _figure_to_json(line.cairn),
            **{rival: _figure_to_json(line.rivals.get(rival)) for rival in NAMES},
            "ratios": {rival: line.ratio(rival) for rival in RIVALS["servers"]},
            "bars": [
                {"kind": bar.kind, "rival": bar.rival, "value": bar.value, "met": line.met(bar)}
                for bar in line.row.bars
            ],
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


def _table(lines: Sequence[Line], part: Part, *, judged: bool, cpu: bool) -> list[tuple[str, ...]]:
    """The cells of one part's table, its head first."""
    shown = [line for line in lines if line.row.part == part]
    return [_head(part, cpu=cpu), *(_cells(line, part, judged=judged, cpu=cpu) for line in shown)]


def _better(one: Figure, other: Figure, row: Row) -> bool:
    return one.median > other.median if row.more_is_better else one.median < other.median


def _head(part: Part, *, cpu: bool) -> tuple[str, ...]:
    cells = ["what", "unit", "Cairn", *(["CPU"] if cpu else [])]
    for rival in RIVALS[part]:
        asked = cpu and rival != "floor"
        cells += [NAMES[rival], *(["CPU"] if asked else []), "x INSERT" if rival == "floor" else "ratio"]
    return (*cells, "bar")


def _cells(line: Line, part: Part, *, judged: bool, cpu: bool) -> tuple[str, ...]:
    problem = "failed" if line.problem else "-"
    cells = [line.row.title, line.row.unit, _text(line.cairn) or (problem if line.row.cairn else "-")]
    if cpu:
        cells.append(_cpu(line.cairn))
    for rival in RIVALS[part]:
        figure = line.rivals.get(rival)
        asked = any(case.side == rival for case in line.row.rivals)
        cells.append(_text(figure) or (problem if asked else "-"))
        if cpu and rival != "floor":
            cells.append(_cpu(figure))
        ratio = line.of_the_floor() if rival == "floor" else line.ratio(rival)
        cells.append("-" if ratio is None else number(ratio))
    return (*cells, "; ".join(_verdict(line, bar, judged=judged) for bar in line.row.bars) or "-")


def _text(figure: Figure | None) -> str:
    """`median (least - most)`, and the way where there is a choice."""
    if figure is None:
        return ""
    spread = (
        f" ({number(min(figure.values))} - {number(max(figure.values))})"
        if len(figure.values) > 1
        else " (once)"
    )
    parameters = figure.case.parameters
    way = WAYS.get(str(parameters.get("saver", parameters.get("flow", ""))), "")
    if "blob" in parameters:
        way = "as a blob" if parameters["blob"] else "as a string"
    return number(figure.median) + spread + (f" {way}" if way else "")


def _cpu(figure: Figure | None) -> str:
    return number(statistics.median(figure.cpu)) if figure is not None and figure.cpu else "-"


def _verdict(line: Line, bar: Bar, *, judged: bool) -> str:
    value = number(bar.value)
    text = {
        "at most": f"at most {value}",
        "of the floor": f"at most {value} x INSERT",
        "times faster": f"{value} x {NAMES[bar.rival]} at least",
    }[bar.kind]
    met = line.met(bar)
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
