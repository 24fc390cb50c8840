"""What polls tell: who rings, who is silent, and when the store is suspected rather than its runners."""

from __future__ import annotations

import pytest
from tests.unit.operator.reconcile.builders import NOW, ago

from cairn_operator.reconcile.checks import SILENT_SECONDS
from cairn_operator.reconcile.pulse import (
    REPLACEMENTS_A_TICK,
    SUSPECT_FEW,
    SUSPECT_SECONDS,
    Pulse,
)
from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.errors import StoreUnavailable
from cairn_runtime.store.base import MAX_HEADS, Head


class Heads:
    """A store of which only heads are asked."""

    def __init__(self):
        self.heads_by_id = {}
        self.down = False
        self.asked = []

    async def heads(self, run_ids):
        self.asked.append(len(run_ids))
        if self.down:
            raise StoreUnavailable("no answer")
        return {run_id: self.heads_by_id[run_id] for run_id in run_ids if run_id in self.heads_by_id}


class Bench:
    """A pulse with a store, a clock, and the keys that were rung."""

    def __init__(self):
        self.store, self.other = Heads(), Heads()
        self.now, self.beats = 1000.0, 0
        self.rung = []
        self.pulse = Pulse({"default": self.store, "other": self.other}, self.rung.append, lambda: self.now)

    def watch(self, run_id, store="default", **changes):
        """Watch a run that has begun."""
        self.pulse.watch(run_id, Key("team", run_id), store)
        self.head(run_id, **changes)

    def head(self, run_id, **changes):
        """Say what the store shows of a run."""
        shown = self.store.heads_by_id.get(run_id) or Head(1, "cp-1", "h", 1, "Running", ago(9), ago(5))
        self.store.heads_by_id[run_id] = shown._replace(**changes)

    async def poll(self, seconds=1, alive=()):
        """Poll each second; runners that live show it."""
        for _ in range(seconds):
            self.now += 1
            self.beats += 1
            for run_id in alive:
                self.head(run_id, heartbeat_at=ago(-self.beats))
            await self.pulse.poll("default")
        rung, self.rung[:] = [key.name for key in self.rung], []
        return rung


@pytest.fixture
def bench():
    return Bench()


MOVES = {
    "a new checkpoint": ({"seq": 2}, True),
    "another epoch": ({"epoch": 2}, True),
    "another phase": ({"phase": "Waiting"}, True),
    "an answer": ({"signals_pending": 1}, True),
    "another time to wake": ({"wake_at": NOW}, True),
    "a changed row": ({"updated_at": NOW}, True),
    "a sign of life": ({"heartbeat_at": NOW}, False),
    "nothing": ({}, False),
}


@pytest.mark.parametrize(("changes", "rings"), MOVES.values(), ids=MOVES)
async def test_a_run_that_moved_rings(bench, changes, rings):
    """A sign of life alone is no news."""
    bench.watch("a")
    assert await bench.poll() == ["a"]
    bench.head("a", **changes)

    assert await bench.poll() == (["a"] if rings else [])
    assert await bench.poll() == []


async def test_a_run_that_is_deleted_rings_once(bench):
    """Its row is not there any more."""
    bench.watch("a")
    await bench.poll()
    del bench.store.heads_by_id["a"]

    assert await bench.poll() == ["a"]
    assert await bench.poll() == []


async def test_runs_that_are_left_are_not_asked_for(bench):
    """Finished ones, and all of a Workflow that is gone."""
    bench.watch("a")
    bench.watch("b")
    bench.pulse.leave("a")
    bench.pulse.forget(Key("team", "b"))

    assert await bench.poll() == []
    assert bench.store.asked == []
    assert bench.pulse.quiet_seconds("a") == 0.0


async def test_many_runs_are_asked_for_in_parts(bench):
    """As many as a store takes at once."""
    for n in range(MAX_HEADS + 1):
        bench.watch(f"r{n}")
    await bench.poll()

    assert bench.store.asked == [MAX_HEADS, 1]


# -- silence ----------------------------------------------


async def test_silence_counts_from_the_last_sign(bench):
    """A heartbeat, a checkpoint or a claim; looking again changes nothing."""
    bench.watch("a")
    await bench.poll(10, alive=["a"])
    assert bench.pulse.quiet_seconds("a") == 0.0

    await bench.poll(7)
    bench.pulse.watch("a", Key("team", "a"), "default")
    assert bench.pulse.quiet_seconds("a") == 7.0
    for sign in ({"seq": 2}, {"epoch": 2}):
        bench.head("a", **sign)
        await bench.poll()
        assert bench.pulse.quiet_seconds("a") == 0.0


async def test_a_run_that_falls_silent_rings_once(bench):
    """And again after it was heard in between."""
    bench.watch("a")
    await bench.poll(2, alive=["a"])
    for _ in range(2):
        assert await bench.poll(int(SILENT_SECONDS)) == []
        assert await bench.poll() == ["a"]
        assert await bench.poll(60) == []
        await bench.poll(1, alive=["a"])


async def test_an_outage_makes_nobody_look_dead(bench):
    """Every poll without an answer starts all stopwatches of that store again, and of no other."""
    bench.watch("a")
    bench.pulse.watch("z", Key("team", "z"), "other")
    await bench.poll(25)
    bench.store.down = True
    assert await bench.poll(60) == ["a"], "rung once, for the outage itself"

    assert bench.pulse.quiet_seconds("a") == 0.0
    assert bench.pulse.quiet_seconds("z") == 85.0
    assert bench.pulse.failures == {"default": 60}
    bench.store.down = False
    assert await bench.poll(int(SILENT_SECONDS)) == ["a"], "rung once, for its end"
    assert bench.pulse.failures == {"default": 0}


async def test_an_outage_is_known_until_an_answer(bench):
    """So that not every pass waits for it; it is asked for even where no run is watched."""
    error = StoreUnavailable("no answer")
    bench.pulse.lost("default", error)
    assert bench.pulse.outage("default") is error

    bench.store.down = True
    await bench.poll()
    assert isinstance(bench.pulse.outage("default"), StoreUnavailable)
    bench.store.down = False
    await bench.poll()
    assert bench.pulse.outage("default") is None
    assert bench.store.asked == [1, 1]


# -- suspicion ----------------------------------------------


async def fallen_silent(bench, silent, alive=0):
    """So many runs are heard no more, and so many are."""
    living = [f"l{n}" for n in range(alive)]
    for run_id in [*living, *(f"s{n}" for n in range(silent))]:
        bench.watch(run_id)
    await bench.poll(2, alive=[*living, *(f"s{n}" for n in range(silent))])
    await bench.poll(int(SILENT_SECONDS) + 1, alive=living)
    return living


@pytest.mark.parametrize(
    ("silent", "alive", "suspected"),
    [(SUSPECT_FEW, 0, False), (SUSPECT_FEW + 1, 0, True), (10, 40, False), (11, 40, True)],
    ids=["a few may be one lost node", "more than a few", "a fifth of all", "more than a fifth"],
)
async def test_many_that_fall_silent_at_once_make_the_store_suspect(bench, silent, alive, suspected):
    """It is likelier that the store stands still than that so many runners died together."""
    await fallen_silent(bench, silent, alive)

    assert bench.pulse.suspect("default") is suspected
    assert not bench.pulse.suspect("other")


@pytest.mark.parametrize(
    "how",
    [{"beats": False}, {"epoch": 0}, {"phase": "Failed"}],
    ids=["they have no runner that must show itself", "they have not begun", "they are over"],
)
async def test_runs_without_a_runner_say_nothing_about_the_store(bench, how):
    """Suspended runs, pending pods and pauses are silent, and nothing is wrong."""
    for n in range(20):
        bench.watch(f"r{n}", **{name: value for name, value in how.items() if name != "beats"})
        bench.pulse.watch(f"r{n}", Key("team", f"r{n}"), "default", beats=how.get("beats", True))
    await bench.poll(int(SILENT_SECONDS) + 5)

    assert not bench.pulse.suspect("default")


async def test_suspicion_ends_with_the_silence(bench):
    """Their runners are heard again."""
    await fallen_silent(bench, 10)
    await bench.poll(1, alive=[f"s{n}" for n in range(10)])

    assert not bench.pulse.suspect("default")


async def test_suspicion_does_not_last_for_ever(bench):
    """The fence makes a replacement harmless; waiting for ever is not. A new silence is a new suspicion."""
    living = await fallen_silent(bench, 10)
    await bench.poll(int(SUSPECT_SECONDS) - 1, alive=living)
    assert bench.pulse.suspect("default")
    await bench.poll(1, alive=living)
    assert not bench.pulse.suspect("default")

    await bench.poll(1, alive=[f"s{n}" for n in range(10)])
    await bench.poll(int(SILENT_SECONDS) + 1)
    assert bench.pulse.suspect("default")


def test_a_tick_replaces_a_few():
    """However many are silent; the next tick goes on."""
    pulse = Bench().pulse
    for _ in range(2):
        assert [pulse.may_replace() for _ in range(REPLACEMENTS_A_TICK + 2)] == [
            *[True] * REPLACEMENTS_A_TICK,
            False,
            False,
        ]
        pulse.refill()
