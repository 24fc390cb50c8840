"""A Workflow as a mermaid flowchart, with a class for how each step stands; pure.

Steps are numbered in the text, because mermaid gives a meaning to names such as `end`.
"""

from __future__ import annotations

from cairn_runtime.cli.views.pictures import Arrow, Box, Picture, Standing
from cairn_runtime.cli.views.texts import cut

CLASSES: dict[Standing, str] = {
    "todo": "fill:#f8fafc,stroke:#94a3b8,color:#334155",
    "ready": "fill:#eff6ff,stroke:#60a5fa,color:#1e3a8a",
    "running": "fill:#dbeafe,stroke:#2563eb,color:#1e3a8a,stroke-width:2px",
    "waiting": "fill:#fef3c7,stroke:#d97706,color:#78350f,stroke-width:2px",
    "done": "fill:#dcfce7,stroke:#16a34a,color:#14532d",
    "skipped": "fill:#f1f5f9,stroke:#cbd5e1,color:#94a3b8,stroke-dasharray:4 3",
    "failed": "fill:#fee2e2,stroke:#dc2626,color:#7f1d1d,stroke-width:2px",
}
_SHAPES = {"approval": ("{{", "}}"), "signal": ("{{", "}}"), "sleep": ("([", "])")}
_LABEL_WIDTH = 48


def draw_mermaid(shown: Picture) -> list[str]:
    """Write the picture as lines of mermaid."""
    ids = {box.name: f"s{n}" for n, box in enumerate(shown.boxes)}
    used = sorted({box.standing for box in shown.boxes})
    return [
        "flowchart TD",
        *(f"  {_node(box, ids)}" for box in shown.boxes),
        *(f"  {_link(arrow, ids)}" for arrow in shown.arrows),
        *(f"  classDef {standing} {CLASSES[standing]}" for standing in used),
        *(f"  class {','.join(ids[b.name] for b in shown.boxes if b.standing == s)} {s}" for s in used),
    ]


def _node(box: Box, ids: dict[str, str]) -> str:
    left, right = _SHAPES.get(box.what.split(" ")[0], ("[", "]"))
    visits = f" ×{box.visits}" if box.visits > 1 else ""
    name, what = _text(box.name + visits), _text(cut(box.what, _LABEL_WIDTH))
    return f'{ids[box.name]}{left}"<b>{name}</b><br/>{what}"{right}'


def _link(arrow: Arrow, ids: dict[str, str]) -> str:
    """A condition or a failure is dotted, a loop says so."""
    words = {"catch": "if it fails", "goto": "if the step says so"}.get(arrow.kind, arrow.label)
    words = f"↺ {words}".strip() if arrow.back else words
    line = "-->" if arrow.kind in {"needs", "next"} else "-.->"
    label = f'|"{_text(cut(words, _LABEL_WIDTH))}"|' if words else ""
    return f"{ids[arrow.source]} {line}{label} {ids[arrow.target]}"


def _text(text: str) -> str:
    """Mermaid's own escapes; `&` first, because they begin with it in the browser and with `#` here."""
    for char, code in (("#", "#35;"), ("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(char, code)
    return " ".join(text.split())
