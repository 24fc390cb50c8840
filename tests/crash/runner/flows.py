"""The Workflows that are killed: each with what it waits for, and steps that leave a trace outside.

Each task appends its name, its epoch and its idempotency key to the file that CAIRN_TEST_EFFECTS names,
before it returns: that is the effect which must not happen again once the task was committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CODE = """
import asyncio, os

def trace(ctx):
    task = f"{ctx.step}#{ctx.visit}" + ("" if ctx.index is None else f"[{ctx.index}]")
    with open(os.environ["CAIRN_TEST_EFFECTS"], "a") as file:
        file.write(f"{task} {os.environ.get('CAIRN_TEST_EPOCH', 0)} {ctx.idempotency_key}\\n")

async def mark(state, ctx):
    trace(ctx)
    return {"seen": [f"{ctx.step}#{ctx.visit}"], "count": 1}

def slow_mark(state, ctx):
    trace(ctx)
    return {"seen": [f"{ctx.step}#{ctx.visit}"], "count": 1}

async def twice(state, ctx):
    await ctx.checkpoint({"count": 10}, key="half")
    trace(ctx)
    await ctx.progress.save(state["count"])
    return {"seen": [ctx.step], "count": 100}

async def draft(state, ctx):
    trace(ctx)
    return {"score": state["score"] + 3, "count": 1}

async def paced(state, ctx):
    await asyncio.sleep(0.05)
    return await mark(state, ctx)

async def item(state, ctx):
    trace(ctx)
    await asyncio.sleep(0)
    return ctx.item * 10
"""

SHELL = (
    'echo "$CAIRN_STEP#1 ${CAIRN_TEST_EPOCH:-0} $CAIRN_IDEMPOTENCY_KEY" >> "$CAIRN_TEST_EFFECTS"; '
    """echo '{"count": 1000}' > "$CAIRN_OUTPUT" """
)
STATE = {
    "channels": {
        "seen": {"reducer": "union"},
        "count": {"reducer": "add", "initial": 0},
        "score": {"initial": 0},
    }
}


@dataclass(frozen=True)
class Flow:
    """A Workflow, and the answers that it is given when it waits."""

    name: str
    steps: list[dict[str, Any]]
    approvals: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    needs_order: bool = True
    """Whether channel `seen` has one possible order."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The whole manifest."""
        return {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": self.name},
            "spec": {
                "code": {"steps.py": CODE},
                "state": STATE,
                "restart": {"limit": 2, "baseDelay": "1ms", "maxDelay": "2ms"},
                "steps": self.steps,
                **self.spec,
            },
        }


CHAIN_AND_JOIN = Flow(
    "chain-and-join",
    [
        {"name": "a", "python": "steps:mark"},
        {"name": "b", "python": "steps:twice", "needs": ["a"]},
        {"name": "c", "python": "steps:slow_mark", "needs": ["a"]},
        {"name": "d", "python": "steps:mark", "needs": ["b", "c"]},
        {"name": "e", "run": SHELL, "needs": ["d"]},
    ],
    needs_order=False,
)
LOOP = Flow(
    "loop",
    [
        {
            "name": "draft",
            "python": "steps:draft",
            "next": [{"to": "draft", "when": "state.score < 7"}, {"to": "last", "otherwise": True}],
        },
        {"name": "last", "python": "steps:mark"},
    ],
)
FOREACH = Flow(
    "foreach",
    [
        {
            "name": "each",
            "python": "steps:item",
            "foreach": {"in": "input.numbers", "parallelism": 2, "collect": "tens"},
        },
        {"name": "last", "python": "steps:mark", "needs": ["each"]},
    ],
    spec={"input": {"numbers": [1, 2, 3, 4, 5]}},
)
PARKS = Flow(
    "parks",
    [
        {"name": "first", "python": "steps:mark"},
        {"name": "sign", "approval": {"message": "Go on?"}, "needs": ["first"]},
        {"name": "paid", "signal": {"name": "payment"}, "needs": ["sign"]},
        {"name": "nap", "sleep": "20ms", "needs": ["paid"]},
        {"name": "last", "python": "steps:mark", "needs": ["nap"]},
    ],
    approvals={"sign#1": {"approved": True, "value": 1, "by": "ann", "at": "2026-01-02T03:04:05Z"}},
    signals={"payment": {"cents": 5}},
)
LONG = Flow(
    "long",
    [{"name": f"s{n}", "python": "steps:paced", "needs": [f"s{n - 1}"] if n else []} for n in range(30)],
)
"""Long enough to lose its server in the middle of it, several times."""
FLOWS = {flow.name: flow for flow in (CHAIN_AND_JOIN, LOOP, FOREACH, PARKS)}
