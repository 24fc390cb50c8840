"""`doctor`: what is wrong with a store or a run, and what mends it.

A store is looked at from the outside to the inside, and the first thing that does not work ends the visit:
there is nothing to see behind it. Reads only.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import chain, islice

from cairn_runtime import __version__
from cairn_runtime.cli.finding import the_run
from cairn_runtime.cli.findings import Finding, Level, exit_code, finding_lines, findings_document
from cairn_runtime.cli.mends import mend_of
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store, store_url
from cairn_runtime.cli.views.units import age, counted, size, span
from cairn_runtime.errors import CairnError, CheckpointNotFound, KeyMissing, PayloadError, StoreTooNew
from cairn_runtime.model.ids import short_id, utc_now
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import IMPORTING, Health, Run, Store, Wait
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment
from cairn_runtime.store.opening import safe_url

_SLOW_SECONDS = 0.1
_SKEW_SECONDS, _GRAVE_SKEW_SECONDS = 5.0, 60.0
_FULL, _GRAVE_FULL = 0.8, 0.9
_STALE_SECONDS = 60.0
_LARGE_BYTES = 1024**3
_LOOKED_AT = 1000
"""Newest runs that are looked at."""
_HEADS = 50
"""Newest runs whose newest checkpoint is read."""
_NAMED = 5
_MINORS_BEFORE = 2
"""So many minor releases a runner may be behind."""


async def visit(output: Output, url: str | None, who: str) -> int:
    """Look at a store, or at one run in it."""
    found = [finding async for finding in (_run_findings(url, who) if who else _store_findings(url))]
    if output.for_people:
        output.text(finding_lines(found))
    else:
        output.document(findings_document(found))
    return exit_code(found)


async def _store_findings(url: str | None) -> AsyncIterator[Finding]:
    safe = safe_url(store_url(url))
    try:
        async with existing_store(url) as store:
            yield Finding(Level.OK, f"{safe} answers")
            health = await store.check()
            for finding in _health_findings(health):
                yield finding
            async for finding in _content_findings(store, health.now or utc_now()):
                yield finding
    except CairnError as error:
        yield Finding(Level.FAULT, f"{safe}: {error.message.removeprefix(f'{safe}: ')}", mend_of(error))


def _health_findings(health: Health) -> list[Finding]:
    found = [
        Finding(Level.OK, f"{health.server or health.kind}, schema version {health.schema_version}"),
        Finding(Level.OK, f"durable means: {health.durable}"),
    ]
    found += [Finding(_level(grave=one.grave), one.what, one.mend) for one in health.concerns]
    if health.latency_seconds > _SLOW_SECONDS:
        text = f"a round trip takes {health.latency_seconds * 1000:.0f} ms; every step of a run waits for one"
        found.append(Finding(Level.WARNING, text, "bring the runners near the store, or look at its load"))
    else:
        found.append(Finding(Level.OK, f"a round trip takes {health.latency_seconds * 1000:.1f} ms"))
    return [*found, *_clock_findings(health.now), *_space_findings(health)]


def _clock_findings(now: datetime | None) -> list[Finding]:
    if now is None:
        return []
    skew = abs((now - utc_now()).total_seconds())
    if skew <= _SKEW_SECONDS:
        return [Finding(Level.OK, "its clock and this machine's agree")]
    text = f"its clock and this machine's differ by {span(skew)}; deadlines and ages go by the store's"
    return [Finding(_level(grave=skew > _GRAVE_SKEW_SECONDS), text, "set both by NTP")]


def _space_findings(health: Health) -> list[Finding]:
    if health.used_bytes is None:
        return []
    if health.free_bytes is None:
        return [Finding(Level.OK, f"it holds {size(health.used_bytes)}")]
    share = health.used_bytes / max(health.used_bytes + health.free_bytes, 1)
    text = f"it holds {size(health.used_bytes)}, and {size(health.free_bytes)} are free"
    if share <= _FULL:
        return [Finding(Level.OK, text)]
    return [Finding(_level(grave=share > _GRAVE_FULL), text, "cairn stats, cairn prune, or more room")]


async def _content_findings(store: Store, now: datetime) -> AsyncIterator[Finding]:
    runs: list[Run] = []
    async for run in all_runs(store):
        runs.append(run)
        if len(runs) == _LOOKED_AT:
            break
    yield Finding(Level.OK, counted(len(runs), "run") + (", the newest" if len(runs) == _LOOKED_AT else ""))
    looks = (_large(runs), _stale(runs, now), _half_imported(runs), _newer_runners(runs), _old_runners(runs))
    for finding in chain.from_iterable(looks):
        yield finding
    async for finding in _orphan_holds(store, runs):
        yield finding
    codec = codec_from_environment()
    for run in islice((run for run in runs if run.head_seq), _HEADS):
        unreadable = await _head_finding(store, codec, run)
        if unreadable is not None:
            yield unreadable


def _large(runs: Sequence[Run]) -> list[Finding]:
    large = sorted((run for run in runs if run.bytes > _LARGE_BYTES), key=lambda run: -run.bytes)
    return [
        Finding(
            Level.WARNING,
            f"{_name(run)} has written {size(run.bytes)} in {counted(run.checkpoints, 'checkpoint')}",
            f"cairn prune {run.run_id}; or a smaller checkpoint.history in its manifest",
        )
        for run in large[:_NAMED]
    ]


def _stale(runs: Sequence[Run], now: datetime) -> list[Finding]:
    stale = [
        (run, run.heartbeat_at)
        for run in runs
        if run.phase == "Running"
        and run.heartbeat_at is not None
        and (now - run.heartbeat_at).total_seconds() > _STALE_SECONDS
    ]
    return [
        Finding(
            Level.WARNING,
            f"{_name(run)} is Running, and its runner was last seen {age(seen, now)} ago",
            f"the operator replaces it; without one: cairn run FILE, or cairn cancel {run.run_id}",
        )
        for run, seen in stale[:_NAMED]
    ]


def _half_imported(runs: Sequence[Run]) -> list[Finding]:
    half = [run for run in runs if run.phase == "Cancelled" and run.reason == IMPORTING]
    mend = "import the same file again: it goes on where it was broken off"
    return [
        Finding(Level.WARNING, f"{_name(run)} was imported up to checkpoint {run.head_seq} only", mend)
        for run in half[:_NAMED]
    ]


def _newer_runners(runs: Sequence[Run]) -> list[Finding]:
    newer = sorted({run.runner for run in runs if _version(run.runner) > _version(__version__)})
    if not newer:
        return []
    text = f"runners of release {', '.join(newer)} write here; this is {__version__}"
    return [Finding(Level.WARNING, text, "bring this program to their release")]


def _old_runners(runs: Sequence[Run]) -> list[Finding]:
    """Runs that go on with a release which nobody has tried with this one."""
    major, minor, *_ = _version(__version__)
    oldest = (major, max(minor - _MINORS_BEFORE, 0), 0)
    old = [run for run in runs if not run.finished and () < _version(run.runner) < oldest]
    mend = (
        f"bring its image (spec.image, with a new resume.nonce) to release {__version__};"
        " where none is named, its next pod has the operator's"
    )
    return [
        Finding(
            Level.WARNING,
            f"{_name(run)} goes on with release {run.runner}; {__version__} works with those from"
            f" {major}.{oldest[1]} on",
            mend,
        )
        for run in old[:_NAMED]
    ]


def _version(text: str) -> tuple[int, ...]:
    match = re.match(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


async def _orphan_holds(store: Store, runs: Sequence[Run]) -> AsyncIterator[Finding]:
    """Checkpoints that are kept for forks which nobody has made."""
    for run in runs[:_HEADS]:
        holds = await store.holds(run.run_id)
        children = sorted({child for names in holds.values() for child in names})
        there = await store.heads(children[:500]) if children else {}
        missing = [child for child in children[:500] if child not in there]
        if missing:
            text = f"{_name(run)} keeps {counted(len(missing), 'checkpoint')} for forks that were never made"
            yield Finding(Level.WARNING, text, f"cairn prune {run.run_id}, an hour after they were asked for")


async def _head_finding(store: Store, codec: Codec, run: Run) -> Finding | None:
    """Whether a run's newest checkpoint can be read."""
    try:
        codec.decode_checkpoint(await store.checkpoint(run.head_id))
    except CheckpointNotFound:
        text = f"{_name(run)}: its newest checkpoint {run.head_seq} is not there"
        return Finding(Level.FAULT, text, f"cairn verify {run.run_id}; restore the store from a backup")
    except KeyMissing as error:
        return Finding(Level.FAULT, f"{_name(run)}: {error.message}", "set CAIRN_KEYS_FILE to its file")
    except PayloadError as error:
        mend = f"cairn verify {run.run_id}; a runner goes on from the newest checkpoint that is intact"
        return Finding(Level.FAULT, f"{_name(run)}: {error.message}", mend)
    return None


# -- a run -------------------------------------------------------------------------------------------


async def _run_findings(url: str | None, who: str) -> AsyncIterator[Finding]:
    async with existing_store(url) as store:
        run = await the_run(store, who)
        now = (await store.check()).now or utc_now()
        for finding in _row_findings(run, now):
            yield finding
        head = await _head_finding(store, codec_from_environment(), run) if run.head_seq else None
        if head is not None:
            yield head


def _row_findings(run: Run, now: datetime) -> list[Finding]:
    reason = f", {run.reason}" if run.reason else ""
    words = f": {run.message}" if run.message else ""
    level = Level.FAULT if run.phase == "Failed" else Level.OK
    found = [Finding(level, f"{_name(run)} is {run.phase}{reason}{words}", _next(run))]
    if run.epoch and not run.finished:
        seen = f", last seen {age(run.heartbeat_at, now)} ago" if run.heartbeat_at else ""
        found.append(Finding(Level.OK, f"claim {run.epoch}, runner {run.runner or 'unknown'}{seen}"))
    found.append(Finding(Level.OK, f"newest checkpoint {run.head_seq}, {size(run.bytes)} written"))
    found += _stale([run], now)
    found += [*_newer_runners([run]), *_old_runners([run])]
    found += [_wait_finding(run, wait, now) for wait in run.waits] if not run.finished else []
    if run.signals_pending:
        found.append(Finding(Level.OK, f"{counted(run.signals_pending, 'signal')} not used yet"))
    return found


def _next(run: Run) -> str:
    match run.phase:
        case "Failed" if run.reason == StoreTooNew.reason:
            newer = f"bring its image to release {__version__} or later"
            return f"{newer}, then: cairn resume {run.run_id} --from head"
        case "Failed":
            return f"mend the cause, then: cairn resume {run.run_id} --from head"
        case "Cancelled":
            return f"to go on all the same: cairn resume {run.run_id} --from head"
        case "Suspended":
            return "set spec.suspend to false"
        case "Pending":
            return "no runner has claimed it yet: cairn run FILE, or look at the operator"
    return ""


def _wait_finding(run: Run, wait: Wait, now: datetime) -> Finding:
    late = wait.deadline is not None and wait.deadline < now
    level = Level.WARNING if late else Level.OK
    until = f" until {wait.deadline:%Y-%m-%d %H:%M:%SZ}" if wait.deadline else ""
    match wait.kind:
        case "approval":
            step = wait.task.partition("#")[0]
            return Finding(
                level,
                f"{wait.task} waits for an approval{until}",
                f"cairn approve {run.run_id} --step {step}",
            )
        case "signal":
            command = f"cairn signal {run.run_id} {wait.name}"
            return Finding(level, f"{wait.task} waits for the signal {wait.name}{until}", command)
    due = f" until {wait.until:%Y-%m-%d %H:%M:%SZ}" if wait.until else ""
    return Finding(level, f"{wait.task} sleeps{due}", "")


def _name(run: Run) -> str:
    return f"{workflow_name(run)}, run {short_id(run.run_id)}"


def _level(*, grave: bool) -> Level:
    return Level.FAULT if grave else Level.WARNING
