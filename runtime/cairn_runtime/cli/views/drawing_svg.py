"""A Workflow as an SVG picture: rounded boxes in layers, coloured by how each step stands.

Everything is in the file (no script, no style sheet, no font to load), so that it looks the same in a
browser, in a README and as a PNG.
Widths of text are estimated from the letters, because nothing here can measure a font.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

from cairn_runtime.cli.views.layouts import Layout, Place, layout
from cairn_runtime.cli.views.pictures import Arrow, Box, Picture, Standing
from cairn_runtime.cli.views.texts import cells, cut, plain

Point: TypeAlias = tuple[float, float]

_BOX_HEIGHT, _LAYER, _MARGIN, _TITLE = 46.0, 104.0, 32.0, 34.0
_BOX_MOST, _LABEL_MOST, _LOOP_MOST = 260.0, 210.0, 330.0
_LANE = 16.0
"""Room for each loop beside the drawing."""
_NAME, _SMALL, _HEADING = 14, 11, 16
_NARROW, _BROAD = frozenset("iljtfrI.,:;'|![]() "), frozenset("mwMW@%&#+=<>")
_FONT = "ui-sans-serif, 'Segoe UI', Inter, 'DejaVu Sans', Helvetica, Arial, sans-serif"
_LINE, _LOOP, _WORD, _LOOP_WORD = "#64748b", "#7c3aed", "#475569", "#6d28d9"
_COLOURS: dict[Standing, tuple[str, str, str]] = {
    "todo": ("#ffffff", "#94a3b8", "#334155"),
    "ready": ("#eff6ff", "#60a5fa", "#1e40af"),
    "running": ("#dbeafe", "#2563eb", "#1e3a8a"),
    "waiting": ("#fef3c7", "#d97706", "#78350f"),
    "done": ("#dcfce7", "#16a34a", "#14532d"),
    "skipped": ("#f8fafc", "#cbd5e1", "#94a3b8"),
    "failed": ("#fee2e2", "#dc2626", "#7f1d1d"),
}
"""Fill, border and text."""
_WORDS: dict[Standing, str] = {
    "todo": "to do",
    "ready": "next",
    "running": "running",
    "waiting": "waits",
    "done": "done",
    "skipped": "skipped",
    "failed": "failed",
}


def draw_svg(shown: Picture) -> list[str]:
    """Write the picture as lines of SVG."""
    widths = {box.name: _box_width(box) for box in shown.boxes}
    placed = layout(shown.ordered(), shown.forward(), widths)
    loops = [arrow for arrow in shown.arrows if arrow.back]
    legend = _standings(shown)
    inner = max(placed.width + _gutter(loops), text_width(shown.title, _HEADING))
    width = inner + 2 * _MARGIN
    height = _top(placed.layers - 1) + _BOX_HEIGHT + _MARGIN + (30.0 if legend else 0.0)
    return [
        _open(width, height),
        f"<defs>{_marker('arrow', _LINE)}{_marker('loop', _LOOP)}</defs>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text((_MARGIN, _MARGIN + 8), shown.title, _HEADING, "#0f172a", bold=True),
        *_forward(shown, placed),
        *_loops(loops, placed, widths),
        *(line for box in shown.boxes for line in _box(box, placed.places[box.name], widths[box.name])),
        *_legend(legend, height - 24),
        "</svg>",
    ]


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text in pixels: narrow letters, capitals and wide characters differ most."""
    return size * sum(map(_letter_width, text))


def _letter_width(char: str) -> float:
    if cells(char) == 2:
        return 1.0
    if char in _NARROW:
        return 0.36
    return 0.82 if char in _BROAD else 0.72 if char.isupper() else 0.62


def _fit(text: str, size: float, room: float) -> str:
    """Shorten a text to a width in pixels."""
    text, most = plain(text), len(text)
    while most > 1 and text_width(cut(text, most), size) > room:
        most -= 1
    return cut(text, most)


def _open(width: float, height: float) -> str:
    box = f"0 0 {width:.0f} {height:.0f}"
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="{box}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONT}">'


def _name(box: Box) -> str:
    return f"{box.name} ×{box.visits}" if box.visits > 1 else box.name


def _box_width(box: Box) -> float:
    return min(max(text_width(_name(box), _NAME) + 8, text_width(box.what, _SMALL)) + 32, _BOX_MOST)


def _gutter(loops: Sequence[Arrow]) -> float:
    """Room on the right for the loops and their words."""
    words = max((min(text_width(_loop_words(a), _SMALL), _LOOP_MOST) for a in loops), default=0.0)
    return len(loops) * _LANE + words + 8 if loops else 0.0


def _x(place: Place) -> float:
    return _MARGIN + place.x


def _top(layer: int) -> float:
    return _MARGIN + _TITLE + layer * _LAYER


def _box(box: Box, place: Place, width: float) -> list[str]:
    fill, border, colour = _COLOURS[box.standing]
    x, y = _x(place), _top(place.layer)
    dash = ' stroke-dasharray="5 4"' if box.standing == "skipped" else ""
    thick = 2.2 if box.standing in {"running", "waiting", "failed"} else 1.4
    waits = box.what.split(" ")[0] in {"approval", "signal", "sleep"}
    frame = f'x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX_HEIGHT}"'
    paint = f'fill="{fill}" stroke="{border}" stroke-width="{thick}"{dash}'
    room = width - 20
    return [
        f"<g><title>{escape(plain(f'{box.name}: {box.what} ({_WORDS[box.standing]})'))}</title>",
        f'<rect {frame} rx="{_BOX_HEIGHT / 2 if waits else 9}" {paint}/>',
        _text((x, y + 20), _fit(_name(box), _NAME, room), _NAME, colour, bold=True, middle=True),
        _text((x, y + 36), _fit(box.what, _SMALL, room), _SMALL, colour, middle=True, faint=True),
        "</g>",
    ]


def _forward(shown: Picture, placed: Layout) -> list[str]:
    """Draw the forward arrows, then their labels; several kinds between the same boxes share a line."""
    lines: list[str] = []
    labels: list[str] = []
    for (source, target), bends in placed.routes.items():
        same = [a for a in shown.arrows if (a.source, a.target) == (source, target) and not a.back]
        stops = _stops(placed.places[source], bends, placed.places[target])
        lines.append(_curve(stops, dashed=all(a.kind in {"catch", "goto"} for a in same)))
        words = " / ".join(dict.fromkeys(filter(None, map(_words, same))))
        if words:
            labels += _label(stops, words)
    return [*lines, *labels]


def _stops(start: Place, bends: Sequence[Place], end: Place) -> list[Point]:
    """From the bottom of a box, straight through every layer between, to the top of another."""
    stops = [(_x(start), _top(start.layer) + _BOX_HEIGHT)]
    for bend in bends:
        stops += [(_x(bend), _top(bend.layer)), (_x(bend), _top(bend.layer) + _BOX_HEIGHT)]
    return [*stops, (_x(end), _top(end.layer) - 3)]


def _words(arrow: Arrow) -> str:
    return {"catch": "if it fails", "goto": "if the step says so"}.get(arrow.kind, arrow.label)


def _loop_words(arrow: Arrow) -> str:
    return f"↺ {arrow.target} {_words(arrow)}".rstrip()


def _label(stops: Sequence[Point], words: str) -> list[str]:
    """A condition on its line, on a white ground; near the end, where lines of one box have parted."""
    (x0, y0), (x1, y1) = stops[0], stops[1]
    x, y = x0 + (x1 - x0) * 0.62, y0 + (y1 - y0) * 0.62
    shown = _fit(words, _SMALL, _LABEL_MOST)
    width = text_width(shown, _SMALL) + 8
    ground = f'x="{x - width / 2:.1f}" y="{y - 9:.1f}" width="{width:.1f}" height="16" rx="4"'
    return [
        f'<rect {ground} fill="#ffffff" fill-opacity="0.92"/>',
        _text((x, y + 3), shown, _SMALL, _WORD, middle=True),
    ]


def _loops(loops: Sequence[Arrow], placed: Layout, widths: Mapping[str, float]) -> list[str]:
    """Draw what leads back on the right of everything, each loop in a lane of its own, short ones inside."""
    out: list[str] = []
    edge = _MARGIN + placed.width
    places = placed.places
    inside_first = sorted(loops, key=lambda a: abs(places[a.source].layer - places[a.target].layer))
    for n, arrow in enumerate(inside_first):
        start, end = places[arrow.source], places[arrow.target]
        up = 7 if start != end else 9
        leave = (_x(start) + widths[arrow.source] / 2, _top(start.layer) + _BOX_HEIGHT / 2 + 7)
        enter = (_x(end) + widths[arrow.target] / 2 + 3, _top(end.layer) + _BOX_HEIGHT / 2 - up)
        way = _around(leave, enter, edge + (n + 1) * _LANE)
        paint = f'fill="none" stroke="{_LOOP}" stroke-width="1.5" stroke-dasharray="6 4"'
        out.append(f'<path d="{way}" {paint} marker-end="url(#loop)"/>')
        beside = (edge + len(loops) * _LANE + 8, (leave[1] + enter[1]) / 2 + 4 + 14 * n)
        out.append(_text(beside, _fit(_loop_words(arrow), _SMALL, _LOOP_MOST), _SMALL, _LOOP_WORD))
    return out


def _around(leave: Point, enter: Point, lane: float) -> str:
    """A way out to a lane, along it, and back in, with round corners."""
    (x0, y0), (x1, y1) = leave, enter
    up = -1 if y1 < y0 else 1
    r = min(10.0, abs(y1 - y0) / 2 or 1.0)
    out = f"M{x0:.1f},{y0:.1f} H{lane - r:.1f} Q{lane:.1f},{y0:.1f} {lane:.1f},{y0 + up * r:.1f}"
    back = f"V{y1 - up * r:.1f} Q{lane:.1f},{y1:.1f} {lane - r:.1f},{y1:.1f} H{x1:.1f}"
    return f"{out} {back}"


def _curve(stops: Sequence[Point], *, dashed: bool) -> str:
    (x, y), *rest = stops
    path = f"M{x:.1f},{y:.1f}"
    for x1, y1 in rest:
        bow = (y1 - y) / 2
        straight = abs(x1 - x) < 0.5
        path += " L" if straight else f" C{x:.1f},{y + bow:.1f} {x1:.1f},{y1 - bow:.1f} "
        path += f"{x1:.1f},{y1:.1f}"
        x, y = x1, y1
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"{dash} marker-end="url(#arrow)"/>'
    )


def _marker(name: str, colour: str) -> str:
    size = 'viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7"'
    head = f'<path d="M0,0 L10,5 L0,10 L3,5 z" fill="{colour}"/>'
    return f'<marker id="{name}" {size} orient="auto-start-reverse">{head}</marker>'


def _text(at: Point, text: str, size: int, colour: str, **style: bool) -> str:
    """One line of text; style: bold, middle, faint."""
    weight = ' font-weight="600"' if style.get("bold") else ""
    anchor = ' text-anchor="middle"' if style.get("middle") else ""
    faint = ' fill-opacity="0.75"' if style.get("faint") else ""
    look = f'font-size="{size}" fill="{colour}"{weight}{anchor}{faint}'
    return f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" {look}>{escape(plain(text))}</text>'


def _standings(shown: Picture) -> list[Standing]:
    """What the legend explains; a Workflow without a run needs none."""
    used = {box.standing for box in shown.boxes}
    return [] if used <= {"todo"} else [standing for standing in _COLOURS if standing in used]


def _legend(standings: Sequence[Standing], y: float) -> list[str]:
    """Explain the colours of a run."""
    out: list[str] = []
    x = _MARGIN
    for standing in standings:
        fill, border, _ = _COLOURS[standing]
        place = f'x="{x:.1f}" y="{y - 9:.1f}" width="12" height="12" rx="3"'
        out.append(f'<rect {place} fill="{fill}" stroke="{border}"/>')
        out.append(_text((x + 17, y + 1), _WORDS[standing], _SMALL, _WORD))
        x += 34 + text_width(_WORDS[standing], _SMALL)
    return out
