"""What a doctor found, of a store or of a cluster: one shape for both, as lines, document and exit code.

    ok        looked at, and as it should be
    warning   works, and will hurt one day
    fault     does not work; the exit code is 1

Each says what is the case, and, where it is not well, what mends it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cairn_runtime.cli.views.texts import plain
from cairn_runtime.cli.views.units import counted
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED
from cairn_runtime.model.values import JSONObject


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    """What is the case, with the names of what was looked at."""
    mend: str = ""
    """What mends it, a command where there is one; empty where nothing needs to be."""


_MARKS = {Level.OK: "ok", Level.WARNING: "warning", Level.FAULT: "FAULT"}


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Write findings for people in the order in which they were made, and the sum of them below."""
    lines: list[str] = []
    for found in findings:
        lines.append(f"{_MARKS[found.level]:<7}  {plain(found.what)}")
        lines += [f"{'':<7}  -> {plain(line)}" for line in found.mend.splitlines()]
    return [*lines, "", _sum(findings)]


def findings_document(findings: Sequence[Finding]) -> JSONObject:
    """Write findings for programs."""
    return {
        "healthy": exit_code(findings) == EXIT_DONE,
        "findings": [
            {"level": str(found.level), "what": found.what, "mend": found.mend} for found in findings
        ],
    }


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where anything does not work; a warning alone fails nothing."""
    return EXIT_FAILED if any(found.level is Level.FAULT for found in findings) else EXIT_DONE


def _sum(findings: Sequence[Finding]) -> str:
    faults = sum(found.level is Level.FAULT for found in findings)
    warnings = sum(found.level is Level.WARNING for found in findings)
    if not faults and not warnings:
        return "nothing is wrong"
    return ", ".join(
        counted(count, what) for count, what in ((faults, "fault"), (warnings, "warning")) if count
    )
