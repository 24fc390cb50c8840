"""What a pass remembers for the next one, and of whom: a Workflow, not a name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator.reconcile.builders import KEEPING, NOW, RUN, ago, noted, obj, run, started, world

from cairn_operator.reconcile.act import Refusal
from cairn_operator.reconcile.passes import Reconciler, Troubled
from cairn_operator.reconcile.pulse import Pulse
from cairn_operator.reconcile.state import StartRunner
from cairn_operator.reconcile.status import status_of
from cairn_operator.reconcile.workqueue import Key, Queue
from cairn_runtime.store.base import Head

KEY = Key("team", "digest")
TROUBLE = ("HistoryConflict", "another history is there already")


class Desk:
    """A reconciler whose world, and what its actions are refused with, a test sets."""

    def __init__(self) -> None:
        self.seen: Any = world()
        self.refusal = Refusal()
        self.acted: list[Any] = []
        self.clock = 0.0
        self.polled: list[list[str]] = []
        self.pulse = Pulse({"default": self}, lambda _key: None, lambda: self.clock)
        self.reconciler = Reconciler(
            self,
            self,
            self,
            self.pulse,
            Queue(),
            keeping=KEEPING,
            show=self.show,
        )

    async def observe(self, *_: str) -> Any:
        return self.seen

    async def act(self, _world: object, actions: Any) -> Refusal:
        self.acted = [*actions]
        return self.refusal

    async def apply_status(self, *_: object) -> None:
        """What is written is not looked at."""

    async def tell(self, *_: object) -> None:
        """Nobody listens."""

    async def show(self, _world: object) -> None:
        """Nobody looks."""

    async def heads(self, run_ids: list[str]) -> dict[str, Head]:
        self.polled.append(run_ids)
        return {run_id: Head(1, "c", "h", 1, "Running", NOW) for run_id in run_ids}


@pytest.fixture
def desk():
    return Desk()


async def test_what_was_refused_is_told_no_longer_than_it_is(desk):
    """Somebody took back what was refused, so no action followed, and nothing rang: it stayed for minutes."""
    desk.refusal = Refusal(trouble=TROUBLE)
    with pytest.raises(Troubled):
        await desk.reconciler.look_at(KEY)
    desk.refusal = Refusal()
    over = run(phase="Succeeded", head_seq=1, head_id="cp-1")
    desk.seen = world(workflow=obj(status_of(world(run=over, trouble=TROUBLE))), run=over)

    assert await desk.reconciler.look_at(KEY) == 0.0
    assert await desk.reconciler.look_at(KEY) != 0.0


async def test_a_refused_pod_is_forgotten_with_the_next_that_is_made(desk):
    """Else that one's own end would be told in the words of the refusal."""
    desk.seen = world(run=started(epoch=0, phase="Pending"))
    desk.refusal = Refusal(create_error=("Forbidden", "exceeded quota"))
    await desk.reconciler.look_at(KEY)
    desk.seen = world(run=noted(started(), disruptions=1, at=ago(60).isoformat()))
    desk.refusal = Refusal()
    await desk.reconciler.look_at(KEY)
    assert desk.acted == [StartRunner(RUN, 1)]

    desk.seen = world(run=noted(started(epoch=2), epoch=1))
    await desk.reconciler.look_at(KEY)

    (counted,) = desk.acted
    assert counted.changes["attempts"]["cause"] == "PodVanished"


async def test_a_workflow_made_anew_under_the_same_name_remembers_nothing(desk):
    """Deleted and applied while its pass waited: the old run was polled for ever, and looked silent."""
    desk.seen = world(run=run(epoch=1, phase="Running"))
    await desk.reconciler.look_at(KEY)
    desk.seen = world(
        workflow=replace(obj(), uid="another"), run=run(run_id="another", epoch=1, phase="Running")
    )
    await desk.reconciler.look_at(KEY)

    await desk.pulse.poll("default")

    assert desk.polled == [["another"]]
