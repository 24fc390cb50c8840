"""Renders the state of a run as a page of Markdown. The same state gives the same page, byte for byte."""

from collections.abc import Iterator, Mapping
from typing import Any


def markdown(state: Mapping[str, Any]) -> str:
    """Render the report."""
    return "\n".join(_lines(state)) + "\n"


def _lines(state: Mapping[str, Any]) -> Iterator[str]:
    summary = state["summary"]
    yield from (f"# {state['title']}", "", f"{summary['total']} distributions.", "")
    yield from _table(("family", "distributions"), summary["families"].items())
    yield from _bullets("Warnings", state["warnings"])
    yield from _bullets("Unknown", state["unknown"] or [])
    yield from ("## All", "")
    columns = ("name", "version", "licence", "family", "source")
    yield from _table(columns, ([package[column] for column in columns] for package in state["packages"]))


def _bullets(title: str, entries: list[str]) -> Iterator[str]:
    if entries:
        yield from (f"## {title}", "", *(f"- {_flat(entry)}" for entry in entries), "")


def _table(header: Any, rows: Any) -> Iterator[str]:  # noqa: ANN401 - any cells
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(_flat(cell) for cell in row)} |"
    yield ""


def _flat(cell: object) -> str:
    """A cell on one line, and without what would end it."""
    return " ".join(str(cell).split()).replace("|", "\\|")
