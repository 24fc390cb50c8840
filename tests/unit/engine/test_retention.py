"""What a prune leaves is whole: of a loop with items and mid-step checkpoints, all that stays can be used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.engine.lab import Lab

from cairn_runtime.engine.context import Context, State
from cairn_runtime.engine.history import fold_at
from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.base import Checkpoint, Origin, Store
from cairn_runtime.store.opening import open_store
from cairn_runtime.store.prunes import prune_run
from cairn_runtime.store.retention import Policy

ROUNDS = 8
STEPS: list[dict[str, Any]] = [
    {"name": "grow", "join": "any"},
    {"name": "items", "foreach": {"in": "state.list", "parallelism": 2, "collect": "got"}, "needs": ["grow"]},
    {"name": "beside", "needs": ["grow"]},
    {
        "name": "turn",
        "needs": ["items", "beside"],
        "next": [{"to": "grow", "when": f"visits.turn < {ROUNDS}"}, {"to": "last", "otherwise": True}],
    },
    {"name": "last"},
]
CHANNELS: dict[str, Any] = {
    "log": {"reducer": "extend"},
    "list": {"initial": [1, 2, 3]},
    "got": {},
    "mid": {},
}
ENDED = {
    "log": list(range(1, ROUNDS + 1)),
    "mid": "",
    "list": [1, 2, 3],
    "got": [[ROUNDS, n] for n in (1, 2, 3)],
    "error": None,
}


async def grow(_state: State, ctx: Context) -> dict[str, Any]:
    """Write, and commit so much in the middle that there are snapshots every few rounds."""
    await ctx.checkpoint({"mid": f"{ctx.visit:05}" * 5000})
    return {"log": [ctx.visit]}


async def items(_state: State, ctx: Context) -> Any:
    """One result."""
    return [ctx.visit, ctx.item]


async def last(_state: State, _ctx: Context) -> dict[str, Any]:
    """Put away what is large."""
    return {"mid": ""}


def lab_on(store: Store, stop_at: int = 0) -> Lab:
    """A run of the loop; its first runner is drained when it has reached a visit of `turn`."""

    async def turn(_state: State, ctx: Context) -> None:
        if ctx.visit == stop_at:
            lab.sessions[0].loop.drain(0.0)

    functions = {"grow": grow, "items": items, "turn": turn, "last": last}
    lab = Drained(store, STEPS, functions, state={"channels": CHANNELS})
    lab.sessions = []
    return lab


class Drained(Lab):
    """A lab that remembers its sessions."""

    sessions: list[Any]

    async def open(self, **settings: Any) -> Any:
        """Remember it."""
        session = await super().open(**settings)
        self.sessions.append(session)
        return session


async def listed(lab: Lab) -> list[Checkpoint]:
    """All headers of the run, newest first."""
    return await lab.store.checkpoints(lab.run_id, limit=1000)


async def ended(lab: Lab) -> dict[str, Any]:
    """Run to the end; the channels."""
    ending = await lab.run()
    assert ending.phase == "Succeeded", ending
    return (await lab.state()).channels


@pytest.mark.parametrize("stop_at", [2, ROUNDS])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep_last=st.integers(0, 12), old=st.booleans(), pin=st.integers(1, 30), data=st.data())
async def test_all_that_stays_can_be_folded_forked_and_resumed(
    stop_at: int, keep_last: int, old: bool, pin: int, data: st.DataObject
) -> None:
    """A prune takes from nobody what they may still want to go on from."""
    store = await open_store("memory:")
    lab = lab_on(store, stop_at)
    await lab.run()
    rows = await listed(lab)
    states = {row.seq: (await fold_at(store, lab.codec, lab.run_id, row.seq)).state.to_json() for row in rows}
    pinned = rows[pin % len(rows)]
    await store.pin(pinned.id, pinned=True)

    pruned = await prune_run(store, lab.run_id, Policy(keep_last, 0.0 if old else 1e9), utc_now())

    left = await listed(lab)
    assert (len(rows) - len(left), len(left)) == (pruned.checkpoints, pruned.left)
    assert {rows[0].seq, pinned.seq} <= {row.seq for row in left}
    for row in left:
        folded = await fold_at(store, lab.codec, lab.run_id, row.seq)
        assert folded.state.to_json() == states[row.seq]
    origin = data.draw(st.sampled_from(left))
    fork = lab_on(store)
    fork.claims = 1
    await fork.create(Origin(lab.run_id, origin.seq, origin.id))
    assert await ended(fork) == ENDED
    assert await ended(lab) == ENDED
