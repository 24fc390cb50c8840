"""The kinds of races: who does what at the same moment. Chosen by a seed, decided before anybody begins.

Each kind is a function from where the run stands to one part per writer; the director adds places and delays.
Pure: no I/O, no clock; randomness is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

from tests.races.orders import (
    Act,
    Beat,
    Claim,
    Commit,
    Create,
    Delete,
    Deliver,
    Hand,
    Look,
    Progress,
    Send,
    Write,
)

from cairn_runtime.store.base import Phase

WRITERS = 3
_DELAYS_SECONDS = (0.0, 0.0, 0.0, 0.0001, 0.0003, 0.001)
_SIZES = (20, 20, 200, 200, 2_000, 20_000)


@dataclass(slots=True)
class Standing:
    """Where a run stands between two races, as its director believes."""

    run_id: str
    hand: Hand = field(default_factory=Hand)
    past: list[Hand] = field(default_factory=list)
    """Fences that are no more valid, with the heads that their holders knew."""
    written: list[Write] = field(default_factory=list)
    """Writes that were acknowledged."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one writer does, and what it believes when it begins."""

    hand: Hand
    acts: tuple[Act, ...]
    stubborn: bool = False
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Race:
    """One contested situation."""

    kind: str
    parts: tuple[Part, ...]
    kill_after_seconds: float | None = None
    """The first part is killed so long after the beginning."""


class Dealer:
    """Deals acts and ids from one source of randomness; `clock` gives the time in new ids."""

    def __init__(self, chance: Random, new_id: Callable[[], str]) -> None:
        self.chance = chance
        self.new_id = new_id

    def commit(self, **changes: object) -> Commit:
        """A commit of a few checkpoints; every second one changes the row too."""
        phase: Phase | None = self.chance.choice(("Running", "Waiting", None, None))
        made = Commit(self.new_id(), self.chance.choice((1, 1, 2, 3, 4)), self.chance.choice(_SIZES), phase)
        return replace(made, **cast("Any", changes))

    def change(self, phase: Phase | None = None, *, take: bool = False) -> Commit:
        """A commit that changes the row only."""
        return Commit(self.new_id(), 0, 0, phase or self.chance.choice(("Running", "Waiting")), take)

    def commits(self, count: int) -> tuple[Commit, ...]:
        """Commits, one after the other."""
        return tuple(self.commit() for _ in range(count))

    def write(self, standing: Standing) -> Write:
        """A commit on the head that is there, decided to the last byte."""
        drawn = self.commit()
        return Write(standing.run_id, standing.hand, drawn.write_id, drawn.count, drawn.bytes, drawn.phase)

    def successor(self, standing: Standing, commits: int = 1) -> Part:
        """One who claims the run, reads its head and writes on."""
        claim = Claim(standing.hand.epoch, self.new_id())
        return Part(standing.hand, (claim, Look(), *self.commits(commits)))

    def zombie(self, standing: Standing) -> Part:
        """One who holds an old fence and does not give up; it even reads the head anew."""
        old = self.chance.choice(standing.past[-3:])
        where = self.chance.choice((old, replace(old, seq=standing.hand.seq, hash=standing.hand.hash)))
        acts: list[Act] = [self.commit(), Beat(), self.change(), Progress(self.new_id())]
        self.chance.shuffle(acts)
        return Part(where, (*acts[:2], Look(), self.commit()), stubborn=True)


def opening(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Several create the same run and claim it."""
    return tuple(
        Part(standing.hand, (Create(), Claim(0, dealer.new_id()), *dealer.commits(1)))
        for _ in range(dealer.chance.choice((2, 3)))
    )


def same_epoch(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Two or three claim the same epoch; whoever gets it writes."""
    return tuple(dealer.successor(standing) for _ in range(dealer.chance.choice((2, 2, 3))))


def twins(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Two or three with the same epoch and claim write on the same head."""
    count = dealer.chance.choice((2, 2, 3))
    return tuple(Part(standing.hand, dealer.commits(2)) for _ in range(count))


def old_fence(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The holder writes, and so does one whose fence is old."""
    return (Part(standing.hand, dealer.commits(2)), dealer.zombie(standing))


def claim_amid_commits(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The holder writes, while another one claims and writes on."""
    return (Part(standing.hand, dealer.commits(3)), dealer.successor(standing))


def zombie(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The holder does not notice that it was replaced, and does not take no for an answer."""
    acts = (dealer.commit(), Beat(), Look(), dealer.commit(), dealer.change(), Progress(dealer.new_id()))
    return (dealer.successor(standing, 2), Part(standing.hand, acts, stubborn=True))


def duplicate(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The same write comes over two or three connections; one of them writes on."""
    write = dealer.write(standing)
    if dealer.chance.random() < 0.3:
        # Without checkpoints the head stays, so that a copy could undo the change that followed.
        write = replace(write, count=0, phase="Waiting")
        holder = Part(standing.hand, (Deliver(write), dealer.change(), Look()))
        return (holder, Part(standing.hand, (Deliver(write), Deliver(write), Look())))
    copies = [Part(standing.hand, (Deliver(write),)) for _ in range(dealer.chance.choice((1, 2)))]
    return (Part(standing.hand, (Deliver(write), *dealer.commits(1))), *copies)


def late_copy(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Copies of writes that were acknowledged long ago come again, while the holder writes."""
    old = dealer.chance.sample(standing.written, min(4, len(standing.written)))
    first, second = tuple(map(Deliver, old[:2])), tuple(map(Deliver, old[2:]))
    changes = (dealer.change(), dealer.commit(), dealer.change())
    return (Part(standing.hand, changes), Part(standing.hand, first, stubborn=True)) + (
        (Part(standing.hand, second, stubborn=True),) if second else ()
    )


def row_changes(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Changes of the row without checkpoints, from twins and from one whose fence is old."""
    holder = Part(standing.hand, (dealer.change(), dealer.change(), dealer.commit()))
    twin = Part(standing.hand, (dealer.change(), dealer.commit(), dealer.change()))
    late = Part(
        dealer.chance.choice(standing.past[-3:]), (dealer.change(), Look(), dealer.change()), stubborn=True
    )
    return (holder, twin, late)


def late_signals(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """Signals come while the holder uses them up and parks, and one whose fence is old uses them up too."""
    ids = [dealer.new_id() for _ in range(3)]
    holder = Part(standing.hand, (dealer.change(take=True), dealer.change(take=True)))
    old = dealer.chance.choice(standing.past[-3:])
    late = (Send(ids[0]), Look(), dealer.change(take=True), Send(ids[2]))
    return (holder, Part(standing.hand, tuple(map(Send, ids))), Part(old, late, stubborn=True))


def unheard(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The holder walks away from a call and sends it again, while another one claims."""
    waits = [dealer.chance.choice((0.0, 0.0002, 0.001)) for _ in range(2)]
    holder = tuple(dealer.commit(abandon_seconds=seconds) for seconds in waits)
    return (Part(standing.hand, holder), dealer.successor(standing))


def killed(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The holder, or one who is just claiming, is killed amid its writes; another one claims."""
    if dealer.chance.random() < 0.3:
        victim = dealer.successor(standing, 40)
    else:
        victim = Part(standing.hand, dealer.commits(40))
    return (victim, dealer.successor(standing))


def finished(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The run ends while signals come and another one claims, who does not open it again."""
    claimer = (Claim(standing.hand.epoch, dealer.new_id()), Look(), dealer.commit(phase=None))
    return (
        Part(standing.hand, (dealer.commit(phase="Succeeded"),)),
        Part(standing.hand, tuple(Send(dealer.new_id()) for _ in range(3)), stubborn=True),
        Part(standing.hand, claimer),
    )


def deleted(standing: Standing, dealer: Dealer) -> tuple[Part, ...]:
    """The run is deleted amid the holder's writes and a claim; both try to bring it back."""
    holder = (*dealer.commits(3), Look(), Beat(), dealer.change(), Send(dealer.new_id()), Progress("again"))
    claimer = (*dealer.successor(standing).acts, Create(), Claim(0, dealer.new_id()), *dealer.commits(1))
    return (
        Part(standing.hand, (Delete(),)),
        Part(standing.hand, holder, stubborn=True),
        Part(standing.hand, claimer, stubborn=True),
    )


_WEIGHTS: dict[Callable[[Standing, Dealer], tuple[Part, ...]], int] = {
    same_epoch: 12,
    twins: 14,
    old_fence: 10,
    claim_amid_commits: 16,
    zombie: 12,
    duplicate: 12,
    late_copy: 6,
    row_changes: 6,
    late_signals: 6,
    unheard: 4,
}
_NEED_PAST = {old_fence, row_changes, late_signals}
KINDS = ("opening", *(kind.__name__ for kind in _WEIGHTS), "killed", "finished", "deleted")


def deal(standing: Standing, dealer: Dealer, kill_share: float) -> Race:
    """Choose a race for where a run stands."""
    chance = dealer.chance
    if not standing.hand.epoch:
        return _race(opening, standing, dealer)
    if chance.random() < kill_share:
        return replace(_race(killed, standing, dealer), kill_after_seconds=chance.uniform(0.0, 0.008))
    kind = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if (kind in _NEED_PAST and not standing.past) or (kind is late_copy and not standing.written):
        kind = claim_amid_commits
    return _race(kind, standing, dealer)


def deal_last(standing: Standing, dealer: Dealer, *, deleting: bool) -> Race:
    """The race with which a run ends: its end, or its deletion."""
    return _race(deleted if deleting else finished, standing, dealer)


def _race(kind: Callable[[Standing, Dealer], tuple[Part, ...]], standing: Standing, dealer: Dealer) -> Race:
    chance = dealer.chance
    parts = tuple(
        replace(part, delay_seconds=chance.choice(_DELAYS_SECONDS) * chance.random())
        for part in kind(standing, dealer)
    )
    return Race(kind.__name__, parts)
