"""A crew: one director, its writers and its reader, who race on one run after the other.

The director is a process of its own that opens no store and starts no thread, so that it can fork the
successor of a killed writer at any time. It knows where the run stands from what the writers report; where a
writer could not report, the reader looks.
After the last race of a run the reader reads all there is, the checker judges the logs, and the run is
deleted.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import UUID

from tests.races.checker import check, counted
from tests.races.evidence import Violation
from tests.races.logs import forget_logs, read_logs
from tests.races.meetings import Meetings
from tests.races.orders import Act, Delete, Hand, Look, Order, Read, Report, Settle
from tests.races.situations import WRITERS, Dealer, Part, Race, Standing, deal, deal_last
from tests.races.writers import leave_with_parent, serve

RACES_A_RUN = 25
"""Few enough that a history is read quickly, many enough that epochs and late copies pile up."""
STUCK_SECONDS = 120.0
_READER, _DIRECTOR = WRITERS, WRITERS + 1
_FORK = get_context("fork")


class CrewBroken(Exception):
    """A process of the crew ended by itself or does not answer: the program is wrong, or the store gone."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a crew is to do; `number` makes its seed its own."""

    url: str
    plant: str
    seed: str
    number: int
    races: int
    kill_share: float
    keep: bool
    folder: Path


@dataclass(slots=True)
class Tally:
    """What came of some races."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    runs: int = 0
    checkpoints: int = 0
    kills: int = 0
    violations: list[Violation] = field(default_factory=list)
    problem: str = ""

    def add(self, other: Tally) -> None:
        """Add what came of others."""
        for kind, counts in other.kinds.items():
            self.kinds.setdefault(kind, Counter()).update(counts)
        self.runs += other.runs
        self.checkpoints += other.checkpoints
        self.kills += other.kills
        self.violations += other.violations
        self.problem = self.problem or other.problem


@dataclass(slots=True)
class _Member:
    process: Any
    """A `multiprocessing` process of the context that forks."""
    line: Connection


def direct(task: Task, tell: Connection, stop: Any) -> None:
    """Race until all races are run or `stop` is set, and tell after every run what came of it."""
    leave_with_parent()
    director = Director(task, tell, stop)
    problem = "the director has failed"
    try:
        director.work()
        problem = ""
    except CrewBroken as error:
        problem = str(error)
    finally:
        # Whatever it was: a process that ends waits for its children, and they wait for orders.
        director.dismiss(broken=bool(problem))
        if problem:
            tell.send(Tally(problem=problem))
        tell.send(None)


class Director:
    """Deals races to a crew."""

    def __init__(self, task: Task, tell: Connection, stop: Any) -> None:
        self._task = task
        self._tell = tell
        self._stop = stop
        self._chance = Random(f"{task.seed}/{task.number}")
        self._dealer = Dealer(self._chance, self._new_id)
        self._meetings = Meetings(WRITERS + 2)
        self._races = self._runs = 0
        self._members = {place: self._hire(place) for place in range(WRITERS + 1)}

    def _new_id(self) -> str:
        """A UUIDv7 with the present in it; the rest comes from the seed."""
        number = int(time.time() * 1000) << 80 | self._chance.getrandbits(80)
        return str(UUID(int=number & ~(0xF000 << 64 | 0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48))

    def work(self) -> None:
        """Race on run after run. Raises `CrewBroken`."""
        for place in self._members:
            self._hear(place)
        while self._races < self._task.races and not self._stop.is_set():
            tally = self._one_run()
            self._tell.send(tally)
            if tally.violations:
                return

    def dismiss(self, *, broken: bool) -> None:
        """End every process of the crew."""
        for member in self._members.values():
            with suppress(OSError):
                member.line.send(None)
        for member in self._members.values():
            member.process.join(timeout=0.5 if broken else 10)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    def _hire(self, place: int) -> _Member:
        mine, theirs = _FORK.Pipe()
        task = self._task
        arguments = (place, theirs, self._meetings, task.url, task.plant, task.folder)
        process = _FORK.Process(target=serve, args=arguments)
        process.start()
        theirs.close()
        return _Member(process, mine)

    def _hear(self, place: int) -> Report:
        """Wait for what a process has to say."""
        line = self._members[place].line
        if not line.poll():
            # Whoever has ended keeps the others waiting for it.
            ended = {member.process.sentinel: n for n, member in self._members.items()}
            found = wait([line, *ended], timeout=STUCK_SECONDS)
            if not found:
                raise CrewBroken(f"the process at place {place} has not answered for {STUCK_SECONDS:.0f} s")
            if line not in found:
                raise CrewBroken(f"the process at place {ended[cast('int', found[0])]} has ended by itself")
        try:
            said: Report = line.recv()
        except (EOFError, OSError) as error:
            raise CrewBroken(f"the process at place {place} has ended by itself") from error
        return said

    # -- one run ----------------------------------------------

    def _one_run(self) -> Tally:
        """Race on one run from its creation to its end, and judge it."""
        standing = Standing(self._new_id())
        kinds: dict[int, str] = {}
        tally = Tally(runs=1)
        for _ in range(min(RACES_A_RUN - 1, self._task.races - self._races)):
            if self._stop.is_set():
                break
            race = deal(standing, self._dealer, self._task.kill_share)
            self._run_race(race, standing, kinds, tally)
        self._settle(standing)
        if self._races < self._task.races:
            self._runs += 1
            last = deal_last(standing, self._dealer, deleting=self._runs % 2 == 0)
            self._run_race(last, standing, kinds, tally)
            self._settle(standing)
        calls = read_logs(self._task.folder, standing.run_id)
        tally.kinds = counted(calls, kinds)
        tally.checkpoints = standing.hand.seq
        tally.violations = [
            Violation(found.rule, found.race, f"{kinds.get(found.race, 'settled')}: {found.text}")
            for found in check(calls)
        ]
        if not tally.violations:
            self._clean(standing.run_id)
        return tally

    def _run_race(self, race: Race, standing: Standing, kinds: dict[int, str], tally: Tally) -> None:
        """Let one race be run, and see where the run stands."""
        self._races += 1
        kinds[self._races] = race.kind
        places = self._chance.sample(range(WRITERS), len(race.parts))
        watched = self._chance.random() < 0.5
        there = [*places, *([_READER] if watched else []), *([_DIRECTOR] if race.kill_after_seconds else [])]
        for place, part in zip(places, race.parts, strict=True):
            self._order(place, standing, part, there)
        if watched:
            self._order(_READER, standing, self._reading(standing), there)
        if race.kill_after_seconds:
            self._meetings.meet(_DIRECTOR, [place for place in there if place != _DIRECTOR])
            self._kill(places[0], race.kill_after_seconds)
            tally.kills += 1
            places = places[1:]
        reports = [self._hear(place) for place in places]
        if watched:
            self._hear(_READER)
        self._believe(standing, reports)
        if race.kill_after_seconds or not all(report.sure for report in reports):
            self._settle(standing)

    def _order(self, place: int, standing: Standing, part: Part, there: list[int]) -> None:
        others = tuple(other for other in there if other != place)
        order = Order(
            self._races, standing.run_id, part.hand, part.acts, part.delay_seconds, part.stubborn, others
        )
        try:
            self._members[place].line.send(order)
        except OSError as error:
            raise CrewBroken(f"the process at place {place} has ended: {error!r}") from error

    def _reading(self, standing: Standing) -> Part:
        """What the reader does in a race."""
        acts: list[Act] = [Look(), Look(), Read(self._chance.choice(("load", "list", "head")))]
        self._chance.shuffle(acts)
        return Part(
            standing.hand, tuple(acts[:2]), stubborn=True, delay_seconds=self._chance.random() * 0.001
        )

    def _kill(self, place: int, seconds: float) -> None:
        """Kill a writer amid its writes, and put another one in its place."""
        time.sleep(seconds)
        member = self._members[place]
        os.kill(member.process.pid, signal.SIGKILL)
        member.process.join()
        member.line.close()
        self._meetings.clear(place)
        self._members[place] = self._hire(place)
        self._hear(place)

    def _believe(self, standing: Standing, reports: list[Report]) -> None:
        """Take over what the writers were told: the newest fence, the furthest head."""
        before = standing.hand
        newest = max((report.hand for report in reports), key=lambda hand: hand.epoch)
        furthest = max((report.hand for report in reports), key=lambda hand: hand.seq)
        if newest.epoch > before.epoch:
            if before.epoch:
                standing.past.append(before)
            standing.hand = Hand(newest.epoch, newest.claim, before.seq, before.hash)
        if furthest.seq > before.seq:
            hand = standing.hand
            standing.hand = Hand(hand.epoch, hand.claim, furthest.seq, furthest.hash)
        standing.written += [write for report in reports for write in report.written]

    def _settle(self, standing: Standing) -> None:
        """Let the reader read everything while nobody writes, and believe it."""
        order = Order(-self._races, standing.run_id, standing.hand, (Settle(),))
        self._members[_READER].line.send(order)
        self._believe(standing, [self._hear(_READER)])

    def _clean(self, run_id: str) -> None:
        """Remove what a sound run leaves."""
        if not self._task.keep:
            self._members[_READER].line.send(Order(0, run_id, Hand(), (Delete(),)))
            self._hear(_READER)
        forget_logs(self._task.folder, run_id)
