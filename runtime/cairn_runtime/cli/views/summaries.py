"""What is said when a run stops: how it ended, what came out, and the next sensible command; pure."""

from __future__ import annotations

import shlex
from datetime import datetime

from cairn_runtime.cli.hints import Hints
from cairn_runtime.cli.views import rows
from cairn_runtime.cli.views.texts import plain
from cairn_runtime.cli.views.units import age, counted, span
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import EXIT_INTERRUPTED, EXIT_STORE_UNAVAILABLE, EXIT_SUPERSEDED
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.naming import workflow_name
from cairn_runtime.runner.watching import Finish
from cairn_runtime.store.base import Run

_CHANNELS = 12
"""So many channels are shown; `cairn state` shows all."""


def summary(finish: Finish, state: RunState, *, seconds: float, width: int) -> list[str]:
    """How the run ended, and its state in short."""
    run = finish.run
    facts = [f"run {short_id(run.run_id)}", counted(run.checkpoints, "checkpoint"), span(seconds)]
    if finish.restarts:
        facts.append(counted(finish.restarts, "restart"))
    why = run.message if run.phase == "Cancelled" else finish.message
    lines = [f"{workflow_name(run)} {_verdict(finish)} · {' · '.join(facts)}"]
    if finish.exit_code != EXIT_INTERRUPTED:
        lines += [f"  {plain(line)}" for line in why.splitlines()]
    if run.phase in ("Succeeded", "Failed"):
        lines += _state_in_short(state.channels, width)
    return lines


def _state_in_short(state: JSONObject, width: int) -> list[str]:
    """The first channels that have a value."""
    told = [(name, value) for name, value in state.items() if value is not None]
    if not told:
        return []
    lines = ["", *(f"  {line}" for line in rows.state_lines(dict(told[:_CHANNELS]), width - 2))]
    return lines + ([f"  and {len(told) - _CHANNELS} more channels"] if len(told) > _CHANNELS else [])


def next_commands(finish: Finish, hints: Hints, now: datetime) -> list[str]:
    """What a person would type next."""
    run, who, more = finish.run, hints.who, hints.more
    if run.phase == "Waiting":
        return [*rows.wait_lines(run.waits, who, now, more), f"then go on with: {hints.again}"]
    if finish.exit_code == EXIT_SUPERSEDED and not run.finished:
        return [f"another runner has the run now; follow it with: cairn watch {who}{more}"]
    if finish.exit_code in (EXIT_INTERRUPTED, EXIT_STORE_UNAVAILABLE):
        return [f"go on with: {hints.again}"]
    if run.phase == "Failed":
        mended = f" --file {shlex.quote(hints.file)}" if hints.file else ""
        return [f"mend it, then go on from where it failed: cairn resume {who} --from head{mended}{more}"]
    if run.finished:
        return [f"look back with: cairn checkpoints {who}{more}"]
    return []


def restart_text(how: str, epoch: int, seq: int) -> str:
    """Tell that a runner died and another one goes on."""
    where = f"going on from checkpoint {seq}" if seq else "beginning again: there is no checkpoint yet"
    return f"runner died ({how}); restarting, epoch {epoch}, {where}"


def _verdict(finish: Finish) -> str:
    if finish.exit_code == EXIT_INTERRUPTED and not finish.run.finished:
        return "stopped, and can go on"
    return {
        "Succeeded": "succeeded",
        "Failed": f"failed ({finish.run.reason})",
        "Waiting": "waits",
        "Cancelled": f"was cancelled ({finish.run.reason})",
    }.get(finish.run.phase, f"stopped ({finish.reason})" if finish.reason else "stopped")


def forked_text(run: Run) -> str:
    """Tell where a fork begins."""
    origin = run.origin
    return (
        f"run {short_id(run.run_id)} goes on from checkpoint {origin.seq} of run {short_id(origin.run_id)}"
        if origin
        else ""
    )


def going_on_text(run: Run, now: datetime) -> str:
    """Tell that an unfinished run goes on, and that whoever runs it now will not."""
    at = f"at checkpoint {run.head_seq}" if run.head_seq else "which has no checkpoint yet"
    text = f"going on with run {short_id(run.run_id)}, {at}"
    seen = run.heartbeat_at
    if run.phase != "Running" or run.reason == "Drained" or seen is None or rows.runner_gone(run, now):
        return text
    return f"{text} (it had a runner {age(seen, now)} ago; if that still lives, it stops)"
