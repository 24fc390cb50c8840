"""A Workflow as text: a line for each step, so ordered that every edge leads down, with rails on the left.

    ● fetch    python steps:fetch · foreach state.urls
    ├─╮
    ● │ count  run wc -w < $CAIRN_STATE
    │ ● draft  python steps:draft
    ├─╯
    ● check    python steps:check
    │            ↺ draft  when state.score < 7
    │            → sign   otherwise
    ● sign     approval

A rail leads to one step, however many edges do, so that a graph never needs more rails than it has steps
under way; where even these are too many the edge is named in words.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cairn_runtime.cli.views.pictures import Arrow, Box, Picture, Standing
from cairn_runtime.cli.views.texts import cells, cut, pad, plain
from cairn_runtime.cli.views.units import counted

GLYPHS: dict[Standing, str] = {
    "todo": "○",
    "ready": "◇",
    "running": "◉",
    "waiting": "◷",
    "done": "●",
    "skipped": "◌",
    "failed": "✗",
}
_WORDS = {"ready": "next", "running": "running", "waiting": "waits", "skipped": "skipped", "failed": "failed"}
_MAX_RAILS = 20
_UP, _RIGHT, _DOWN, _LEFT = 1, 2, 4, 8
_CORNERS = {
    _UP | _DOWN: "│",
    _RIGHT | _LEFT: "─",
    _UP | _RIGHT: "╰",
    _UP | _LEFT: "╯",
    _DOWN | _RIGHT: "╭",
    _DOWN | _LEFT: "╮",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤",
    _UP | _RIGHT | _LEFT: "┴",
    _DOWN | _RIGHT | _LEFT: "┬",
    _UP | _DOWN | _RIGHT | _LEFT: "┼",
    _UP: "│",
    _DOWN: "│",
}


def draw_text(shown: Picture, width: int) -> list[str]:
    """Draw the picture in lines of at most a width."""
    boxes = {box.name: box for box in shown.boxes}
    rails = _Rails(shown.forward())
    drawn = [_draw_step(boxes[name], shown, rails) for name in shown.ordered()]
    left = max((cells(row.rails) for rows in drawn for row in rows), default=0)
    names = max((cells(row.name) for rows in drawn for row in rows if row.name), default=0)
    lines = [cut(_line(row, left, names), width) for rows in drawn for row in rows]
    return [f"{plain(shown.title)} · {counted(len(shown.boxes), 'step')}", "", *lines, *_legend(shown)]


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: the rails, then either a step's name and words, or words alone."""

    rails: str
    name: str = ""
    words: str = ""


def _line(row: _Row, left: int, names: int) -> str:
    if row.name:
        return f"{pad(row.rails, left)} {pad(row.name, names)}  {row.words}".rstrip()
    if row.words:
        return f"{pad(row.rails, left)} {' ' * names}  {row.words}"
    return row.rails


@dataclass(slots=True)
class _Rails:
    """The rails under way: which step each leads to, None where a column is free."""

    forward: Mapping[str, Sequence[str]]
    lanes: list[str | None] = field(default_factory=list)

    def column(self, name: str) -> int:
        """The column of a step: its rail's, or a free one."""
        return self.lanes.index(name) if name in self.lanes else self.free(0)

    def free(self, start: int) -> int:
        """The first free column from `start` on, or a new one."""
        for n in range(start, len(self.lanes)):
            if self.lanes[n] is None:
                return n
        self.lanes.append(None)
        return len(self.lanes) - 1

    def row(self, own: int, glyph: str) -> str:
        """The rails of a step's own line."""
        marks = [glyph if n == own else "│" if lane else " " for n, lane in enumerate(self.lanes)]
        return " ".join(marks).rstrip()


def _draw_step(box: Box, shown: Picture, rails: _Rails) -> list[_Row]:
    own = rails.column(box.name)
    rails.lanes[own] = box.name
    name_row = _Row(rails.row(own, GLYPHS[box.standing]), plain(box.name), _words(box))
    led = _lead_on(box.name, own, rails)
    notes = [_Row(_beside(rails, led, own), "", text) for text in _notes(box.name, shown, led.unrailed)]
    turn = [_Row(led.turn)] if led.turn else []
    return [name_row, *notes, *turn]


@dataclass(frozen=True, slots=True)
class _Led:
    """What came of leading a step's edges on."""

    turn: str
    """The line that draws the turns; empty where the rail just goes on."""
    fresh: tuple[int, ...]
    unrailed: tuple[str, ...]


def _lead_on(name: str, own: int, rails: _Rails) -> _Led:
    """Give every target a rail: the one it has, the step's own, or a new one."""
    targets = rails.forward[name]
    rails.lanes[own] = None
    joined = [rails.lanes.index(t) for t in targets if t in rails.lanes]
    new = [t for t in targets if t not in rails.lanes]
    fresh: list[int] = []
    unrailed: list[str] = []
    for n, target in enumerate(new):
        if n == 0:
            rails.lanes[own] = target
            continue
        if sum(lane is not None for lane in rails.lanes) >= _MAX_RAILS:
            unrailed.append(target)
            continue
        column = rails.free(own + 1)
        rails.lanes[column] = target
        fresh.append(column)
    turn = _turn(own, joined, fresh, rails.lanes) if joined or fresh else ""
    return _Led(turn, tuple(fresh), tuple(unrailed))


def _turn(own: int, joined: Sequence[int], fresh: Sequence[int], lanes: Sequence[str | None]) -> str:
    """Draw a line on which rails part from a step's own and run into others."""
    ends = [own, *joined, *fresh]
    first, last = min(ends), max(ends)
    out = ""
    for n, lane in enumerate(lanes):
        sides = (_LEFT if first < n <= last else 0) | (_RIGHT if first <= n < last else 0)
        if n == own:
            char = _CORNERS[_UP | (_DOWN if lane else 0) | sides]
        elif n in fresh:
            char = _CORNERS[_DOWN | sides]
        elif n in joined:
            char = _CORNERS[_UP | _DOWN | sides]
        else:
            # A rail that only crosses stays whole; the turn passes behind it.
            char = "│" if lane else "─" if sides == _LEFT | _RIGHT else " "
        out += char + ("─" if sides & _RIGHT else " ")
    return out.rstrip()


def _beside(rails: _Rails, led: _Led, own: int) -> str:
    """The rails beside a note: those that were there before the turn below it."""
    marks = []
    for n, lane in enumerate(rails.lanes):
        down = (lane is not None and n not in led.fresh) or (n == own and bool(led.turn))
        marks.append("│" if down else " ")
    return " ".join(marks).rstrip()


def _words(box: Box) -> str:
    """What a step does, after how it stands."""
    told = [_WORDS[box.standing]] if box.standing in _WORDS else []
    if box.visits > 1:
        told.append(f"visit {box.visits}")
    return plain("  ".join([f"[{', '.join(told)}]", box.what] if told else [box.what]))


def _notes(name: str, shown: Picture, unrailed: Sequence[str]) -> list[str]:
    """Say in words which edges have a condition, close a loop, or found no rail."""
    own = [
        a for a in shown.arrows if a.source == name and (a.back or a.kind != "needs" or a.target in unrailed)
    ]
    if len(own) == 1 and not own[0].label and not own[0].back and own[0].kind == "next":
        return []
    wide = max((cells(arrow.target) for arrow in own), default=0)
    return [plain(f"{_sign(arrow)} {pad(arrow.target, wide)}  {_condition(arrow)}".rstrip()) for arrow in own]


def _sign(arrow: Arrow) -> str:
    return "↺" if arrow.back else "→"


def _condition(arrow: Arrow) -> str:
    return {"catch": "if it fails", "goto": "if the step says so"}.get(arrow.kind, arrow.label)


def _legend(shown: Picture) -> list[str]:
    """Explain the marks of a run; a plain Workflow needs none."""
    used = {box.standing for box in shown.boxes}
    if used <= {"todo"}:
        return []
    words = {**_WORDS, "todo": "to do", "done": "done", "ready": "next"}
    return [
        "",
        "  ".join(f"{glyph} {words[standing]}" for standing, glyph in GLYPHS.items() if standing in used),
    ]
