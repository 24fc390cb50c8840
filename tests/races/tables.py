"""What the races came to, as a table. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.races.crews import Tally
from tests.races.situations import KINDS

_COLUMNS = ("races", "contested", "acknowledged", "refused", "stale", "unanswered", "read")
_HEAD = ("race", "races", "contested", "acknowledged", "refused", "of them stale", "unanswered", "reads")
SHOWN = 10
"""Violations that are shown; the others are counted."""


def table(tally: Tally) -> str:
    """One line for each kind of race, and one for all, in Markdown."""
    total: Counter[str] = Counter()
    for counts in tally.kinds.values():
        total.update(counts)
    found = [(kind.replace("_", " "), tally.kinds[kind]) for kind in KINDS if kind in tally.kinds]
    lines = [_HEAD, *(_line(kind, counts) for kind, counts in found), _line("all", total)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_HEAD))]
    texts = ["| " + " | ".join(map(_cell, line, widths)) + " |" for line in lines]
    rule = (
        "|" + "|".join("-" * (width + 1) + ("-" if n == 0 else ":") for n, width in enumerate(widths)) + "|"
    )
    return "\n".join([texts[0], rule, *texts[1:]])


def verdict(tally: Tally) -> str:
    """The two numbers that must be 0, and whatever else is wrong."""
    rules = Counter(violation.rule for violation in tally.violations)
    stale, lost = rules.pop("stale accepted", 0), rules.pop("acknowledged lost", 0)
    lines = [f"stale writes accepted: {stale}; acknowledged writes lost: {lost}"]
    lines += [f"{rule}: {count}" for rule, count in rules.items()]
    for found in tally.violations[:SHOWN]:
        lines.append(f"  {found.rule}, race {found.race}, {found.text}")
    if len(tally.violations) > SHOWN:
        lines.append(f"  and {len(tally.violations) - SHOWN} more")
    return "\n".join(lines)


def facts(tally: Tally) -> dict[str, Any]:
    """The same as JSON, with every violation."""
    return {
        "kinds": {kind: dict(counts) for kind, counts in tally.kinds.items()},
        "runs": tally.runs,
        "checkpoints": tally.checkpoints,
        "kills": tally.kills,
        "violations": [violation._asdict() for violation in tally.violations],
    }


def _line(kind: str, counts: Counter[str]) -> tuple[str, ...]:
    return (kind, *(f"{counts[column]:,}" for column in _COLUMNS))


def _cell(text: str, width: int) -> str:
    return text.rjust(width) if text[:1].isdigit() else text.ljust(width)
