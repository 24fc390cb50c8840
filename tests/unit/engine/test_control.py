"""Snapshots: when they are written, and what a growing history costs."""

from __future__ import annotations

import os
from typing import Any, cast

import pytest
from tests.unit.engine.lab import Lab

from cairn_runtime.engine.context import Context, State
from cairn_runtime.engine.control import SNAPSHOT_FLOOR_BYTES, Control, Mark
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.base import Fence, Outcome
from cairn_runtime.store.codec import Codec, Encoded, Limits
from cairn_runtime.store.opening import open_store


def looping(times: int, **channel: Any) -> dict[str, Any]:
    return {
        "steps": [
            {"name": "a", "next": [{"to": "a", "when": f"visits.a < {times}"}], "maxVisits": times + 1}
        ],
        "state": {"channels": {"x": channel}},
    }


async def sizes(times: int, channel: dict[str, Any], value: str) -> tuple[list[str], int, int]:
    """Run a loop that writes `value` each time: the kinds of its checkpoints, bytes written, bytes folded."""

    async def write(_state: State, ctx: Context) -> dict[str, Any]:
        text = f"{ctx.visit:06}{value}"
        return {"x": [text] if channel.get("reducer") == "extend" else text}

    store = await open_store("memory:")
    lab = Lab(store, functions={"a": write}, **looping(times, **channel))
    await lab.run()
    listed = await store.checkpoints(lab.run_id, limit=10_000)
    rows = await store.load(lab.run_id)
    await lab.state()
    await store.close()
    return [c.kind for c in listed], sum(c.size for c in listed), sum(c.size for c in rows)


async def test_a_state_that_does_not_grow_is_folded_from_little() -> None:
    """Once deltas weigh more than a snapshot may, the whole state is written and folding starts there."""
    kinds, written, folded = await sizes(400, {"reducer": "replace"}, "v" * 600)

    assert 2 <= kinds.count("snapshot") <= 5
    assert folded <= 2 * SNAPSHOT_FLOOR_BYTES
    assert written <= 400 * 1000


async def test_a_run_that_appends_writes_about_what_it_appended() -> None:
    """The whole state is never written again for a small addition."""
    kinds, written, _ = await sizes(400, {"reducer": "extend"}, "v" * 600)

    assert kinds.count("snapshot") <= 2
    assert written <= 2 * 400 * 700


async def test_a_short_history_has_no_snapshot() -> None:
    """Below the floor folding is fast enough."""
    kinds, _, _ = await sizes(20, {"reducer": "replace"}, "v")

    assert set(kinds) == {"delta"}


async def test_what_becomes_a_snapshot_is_compressed_once(monkeypatch) -> None:
    """That the deltas weigh too much is known before they are compressed: of large values that is most."""
    packed: list[bytes] = []
    pack = Codec.pack

    def count(codec: Codec, plain: bytes) -> Encoded:
        packed.append(plain)
        return pack(codec, plain)

    monkeypatch.setattr(Codec, "pack", count)

    kinds, _, _ = await sizes(10, {"reducer": "replace"}, "v" * SNAPSHOT_FLOOR_BYTES)

    assert "snapshot" in kinds
    assert len(packed) == len(kinds)


async def test_a_state_over_the_bound_of_a_payload_goes_on_in_deltas() -> None:
    """A snapshot only keeps folding short; a run whose state no payload can hold does not end by it."""

    async def write(_state: State, ctx: Context) -> dict[str, Any]:
        return {"x": [os.urandom(6000).hex()]}

    lab = Lab(await open_store("memory:"), functions={"a": write}, **looping(20, reducer="extend"))
    lab.codec = Codec(Limits(payload_bytes=32 * 1024))

    assert (await lab.run()).phase == "Succeeded"
    assert len((await lab.state()).channels["x"]) == 20
    await lab.store.close()


class Recorder:
    """A store as far as a commit goes: keeps what it is sent, and loses the first reply of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def commit(self, *call: Any) -> None:
        self.calls.append(call)
        if self.calls.count(call) < 2:
            raise StoreUnavailable("the reply was lost")

    @property
    def commits(self) -> list[tuple[int, list[int], Outcome | None]]:
        """Expected head, seqs and outcome of each call that was answered."""
        answered = [call for n, call in enumerate(self.calls) if call in self.calls[:n]]
        return [(head, [row.seq for row in rows], outcome) for _, _, head, _, rows, outcome in answered]


def with_unsaved(count: int) -> tuple[Control, Recorder]:
    """A control with so many checkpoints cut, two of which fill a commit."""
    recorder = Recorder()
    codec = Codec(Limits(commit_bytes=2500))
    control = Control(cast("Any", recorder), codec, "run", Fence(1, "claim"), "graph")
    for _ in range(count):
        event = ["write", "x", "set", os.urandom(800).hex(), ""]
        control.cut([event], RunState(), Mark("a", 1, None, (), {}))
    return control, recorder


async def test_commits_are_bounded_and_only_the_last_one_changes_the_row() -> None:
    """A row that said Succeeded before its last checkpoints are there would end the run without them."""
    control, recorder = with_unsaved(5)
    outcome = Outcome("Succeeded")

    await control.save(outcome)

    assert recorder.commits == [(0, [1, 2], None), (2, [3, 4], None), (4, [5], outcome)]


async def test_a_used_signal_goes_in_one_commit_with_what_it_led_to() -> None:
    """However large: a crash between two would use it up for nothing, or twice."""
    control, recorder = with_unsaved(5)
    outcome = Outcome("Running", consumed=(1,))

    await control.save(outcome)

    assert recorder.commits == [(0, [1, 2, 3, 4, 5], outcome)]


@pytest.mark.parametrize("count", [0, 1])
async def test_what_got_no_answer_is_sent_again_as_it_was(count: int) -> None:
    """Under its own write_id, a change of the row alone too: else the second is not known for the first."""
    control, recorder = with_unsaved(count)

    await control.save(Outcome("Waiting"))

    first, second = recorder.calls
    assert first == second
    assert first[3]
