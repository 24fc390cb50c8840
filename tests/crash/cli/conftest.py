"""A folder with a Workflow whose steps leave a trace, so that it can be seen what ran, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

MANIFEST = """\
apiVersion: cairn.dev/v1alpha1
kind: Workflow
metadata: {name: tour}
spec:
  input: {names: [a, b, c, d, e, f], pace: 0.05}
  state: {channels: {places: {}, score: {initial: 0}, text: {}}}
  restart: {baseDelay: 10ms}
  steps:
    - {name: visit, python: "steps:visit", foreach: {in: state.names, parallelism: 2, collect: places}}
    - {name: draft, python: "steps:draft", needs: [visit]}
    - {name: check, run: "echo checking; echo past the log >&2", needs: [draft],
       next: [{to: draft, when: "state.score < 2"}, {to: sign, otherwise: true}]}
    - {name: sign, approval: {message: "Send it?"}}
    - {name: send, python: "steps:send", needs: [sign]}
"""
STEPS = """\
import os, time
from pathlib import Path

def trace(text):
    with open("trace", "a") as file:
        file.write(text + "\\n")

def visit(state, ctx):
    while Path("hold").exists() and ctx.index == 3:
        time.sleep(0.01)
    time.sleep(state["pace"])
    trace(f"visit {ctx.item}")
    print("seen", ctx.item)
    return ctx.item.upper()

def draft(state, ctx):
    trace("draft")
    os.write(1, b"written past everything\\n")
    return {"text": f"draft {ctx.visit}", "score": state["score"] + 1}

def send(state):
    trace("send")
    if Path("broken").exists():
        raise ValueError("no stamps")
    return {"text": "sent" if state["sign"]["approved"] else "kept"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `tour.yaml` and its code."""
    (tmp_path / "tour.yaml").write_text(MANIFEST)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


@pytest.fixture
def trace(folder) -> object:
    """Read what ran, line by line."""

    def read() -> list[str]:
        path = folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    return read
