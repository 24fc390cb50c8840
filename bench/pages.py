"""What is printed: both tables with what they mean and the machine that they belong to.

`page` is what stands in the documentation, between two marks, put there by the run itself: nobody copies
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import Part
from bench.tables import Line, compact, markdown

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
TITLES: dict[Part, str] = {"local": "Stores on this machine", "servers": "Stores on servers"}
NOTES = """\
Median (least - most) of interleaved rounds, each side in a process of its own.
`ratio`: how many times as fast as the rival Cairn is, the median over the rounds.
`x INSERT`: how many times what a plain INSERT of the same bytes takes is Cairn's.
A rival with several ways is shown with its fastest, which is named.
A chain holds 10 channels of 1 KiB; each step reads one and rewrites it.
Texts are random, so that compression flatters nobody; steps are async functions where the rival has them.
`SqliteSaver` and `PostgresSaver` have no async methods, so with them the nodes are plain functions."""
LOCAL_NOTES = """\
Both sides: SQLite in WAL mode with `synchronous=FULL`, the same folder, a new file for each round.
`written` is what the process handed to write(), pages of the log included; `left`, the files."""
SERVER_NOTES = """\
All sides: the same server with fsync on, one after the other, a new database for each measurement.
DBOS: one workflow, each step returns 1 KiB; it keeps no state and no history of it.
A write of Cairn's is all that is between the end of a step and the start of the next one.
A write of LangGraph's is the call of its saver alone, an INSERT the statement alone.
`written` is how far the server's write-ahead log went; `left`, tables with their indexes, on Redis memory.
LangGraph's saver for Redis needs modules that a plain Redis has not, and DBOS has no store there."""
NOTES_OF: dict[Part, str] = {"local": LOCAL_NOTES, "servers": SERVER_NOTES}
CPU_NOTE = "CPU: processor time of all threads of the side's process, in the same unit, the median."


def terminal(lines: Sequence[Line], facts: Mapping[str, str], *, judged: bool) -> str:
    """Both tables with processor times, what they mean, and the machine."""
    tables = [markdown(lines, part, judged=judged) for part in _parts(lines)]
    told = [NOTES, CPU_NOTE, *(NOTES_OF[part] for part in _parts(lines))]
    return "\n\n".join([*tables, "\n".join(told), "\n".join(_facts(facts))])


def page(lines: Sequence[Line], facts: Mapping[str, str], *, judged: bool) -> str:
    """The same as Markdown for a page, without processor times."""
    parts = [NOTES]
    for part in _parts(lines):
        parts += [f"### {TITLES[part]}", NOTES_OF[part], compact(lines, part, judged=judged)]
    parts += ["### The machine", "\n".join(f"- {line}" for line in _facts(facts))]
    return "\n\n".join(parts)


def put_into(path: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{path} has no line {marks[0]} before a line {marks[1]}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _parts(lines: Sequence[Line]) -> list[Part]:
    return [part for part in TITLES if any(line.row.part == part for line in lines)]


def _facts(facts: Mapping[str, str]) -> list[str]:
    return [f"{name}: {text}" for name, text in facts.items()]
