"""Workflows for the cluster tests, whose steps tell the witness of their namespace that they begin.

What a step returns says which task it was, so that the end can be compared with that of an undisturbed run.
"""

from __future__ import annotations

import json
from typing import Any

SMALL = {"resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}}
"""For `spec.pod`, where so many run at once that what each asks for by default is more than a node has."""

STEPS = '''
import json
import os
import time
import urllib.request


def tell(ctx):
    """Say that this task begins; answers when nobody holds it."""
    task = f"{ctx.step}#{ctx.visit}" + ("" if ctx.index is None else f"[{ctx.index}]")
    said = {"task": task, "run": ctx.run_id, "epoch": int(os.environ["CAIRN_EPOCH"])}
    request = urllib.request.Request("http://witness/begun", json.dumps(said).encode())
    urllib.request.urlopen(request, timeout=600).read()
    return task


def work(state, ctx):
    """A step: it leaves its name."""
    return {"done": [tell(ctx)]}


def finish(state, ctx):
    """A step that is done as soon as its runner is asked to end, and not before."""
    done = work(state, ctx)
    while not ctx.draining:
        time.sleep(0.01)
    return done


def heavy(state, ctx):
    """A step that leaves so much that the second of them is worth a snapshot."""
    return {**work(state, ctx), "big": "x" * 40_000}


def item(state, ctx):
    """A task of a foreach: its result is the item."""
    tell(ctx)
    return ctx.item
'''


def workflow(name: str, *steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Workflow of these steps, with the code above and the channel `done`."""
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {
            "code": {"steps.py": STEPS},
            "state": {"channels": {"done": {"reducer": "extend", "initial": []}}},
            "steps": list(steps),
            **spec,
        },
    }


def step(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    """A step that tells and leaves its name."""
    return {"name": name, "python": "steps:work", **({"needs": list(needs)} if needs else {}), **more}


def chain(name: str, *steps: str, **spec: Any) -> dict[str, Any]:
    """Steps one after the other."""
    made = [step(one, *steps[max(n - 1, 0) : n]) for n, one in enumerate(steps)]
    return workflow(name, *made, **spec)


def told(*steps: str) -> list[str]:
    """What the channel `done` holds at the end of a chain."""
    return [f"{one}#1" for one in steps]


def text(document: dict[str, Any]) -> str:
    """For `kubectl apply -f -`."""
    return json.dumps(document)
