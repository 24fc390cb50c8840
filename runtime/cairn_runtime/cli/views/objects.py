"""Workflows and Checkpoints of a cluster as lines for people; pure, the present is passed in."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cairn_runtime.cli.cluster.facts import Mark, Runner, Seen, moment_of, run_text, text_of
from cairn_runtime.cli.views.texts import Column, cut, pad, plain, table
from cairn_runtime.cli.views.units import age, moment
from cairn_runtime.model.values import JSONObject, JSONValue

_WORKFLOWS = (
    Column("NAME", shrinks=True),
    Column("PHASE"),
    Column("PROGRESS", right=True),
    Column("STEP", shrinks=True),
    Column("RESTARTS", right=True),
    Column("AGE", right=True),
    Column("REASON", shrinks=True),
)
_CHECKPOINTS = (
    Column("CHECKPOINT", shrinks=True),
    Column("STEP", shrinks=True),
    Column("NEXT", shrinks=True),
    Column("SIZE", right=True),
    Column("AGE", right=True),
    Column("PINNED"),
)
_SHOWN = 5
"""So many checkpoints of each run stand in a tree."""
_UNSEEN = "no operator has looked at it yet; see: kubectl cairn doctor"


def workflow_lines(found: Iterable[Seen], now: datetime, width: int, *, everywhere: bool) -> list[str]:
    """A table of Workflows; with their namespaces where several are asked for."""
    columns = (Column("NAMESPACE", shrinks=True), *_WORKFLOWS) if everywhere else _WORKFLOWS
    rows = []
    for one in found:
        row = (
            one.name,
            one.phase or "-",
            one.progress,
            one.step,
            str(one.restarts),
            age(one.created_at, now),
            one.why[0],
        )
        rows.append((one.namespace, *row) if everywhere else row)
    return table(columns, rows, width) if rows else ["no Workflows"]


def workflow_detail(seen: Seen, now: datetime, where: str) -> list[str]:
    """One Workflow: where it stands, what it waits for, what is wrong, what to type next."""
    facts = {
        "namespace": seen.namespace,
        "run": f"{seen.run}, epoch {seen.epoch}" if seen.run else "none yet",
        "pod": seen.pod or "none",
        "head": _head(seen, now),
        "resumed": _resumed(seen.resumed),
        "restarts": str(seen.restarts) if seen.restarts else "",
        "error": _error(seen.error),
        "age": age(seen.created_at, now),
    }
    told = [f"  {pad(name, 9)}  {plain(text)}" for name, text in facts.items() if text]
    lines = [headline(seen), *told]
    if seen.conditions:
        lines += ["", "conditions"]
        lines += [f"  {pad(one.kind, 11)}  {_verdict(one.holds)}  {one.reason}" for one in seen.conditions]
    if (trouble := seen.trouble) is not None and trouble.message:
        lines += ["", f"{trouble.reason}:", *(f"  {plain(line)}" for line in trouble.message.splitlines())]
    if seen.waits:
        lines += ["", *wait_lines(seen, now)]
    return [*lines, "", *next_lines(seen, where)]


def headline(seen: Seen) -> str:
    """The Workflow in one line."""
    facts = (seen.phase or _UNSEEN, seen.progress, seen.step)
    return f"{seen.name}  {' · '.join(plain(fact) for fact in facts if fact)}"


def change_line(seen: Seen, now: datetime) -> str:
    """A change of a Workflow that is followed."""
    line = f"{moment(now, now)}  {pad(seen.phase or '-', 9)}  {pad(seen.progress, 7)}  {plain(seen.step)}"
    if (trouble := seen.trouble) is not None:
        line = f"{line.rstrip()}  {trouble.reason}: {plain(trouble.message.partition(chr(10))[0])}"
    return line.rstrip()


def wait_lines(seen: Seen, now: datetime) -> list[str]:
    """What it waits for, and the commands that answer; they go to the store."""
    lines: list[str] = []
    for wait in seen.waits:
        kind, name = text_of(wait.get("kind")), text_of(wait.get("name"))
        step = text_of(wait.get("task")).partition("#")[0]
        until = f" until {moment(moment_of(wait['until']), now)}" if wait.get("until") else ""
        late = f" (at most until {moment(moment_of(wait['deadline']), now)})" if wait.get("deadline") else ""
        what = {"approval": " for an approval", "sleep": ""}.get(
            kind, f" for the signal {name}" if name else ""
        )
        said = text_of(wait.get("message"))
        lines.append(plain(f"{step} waits{what}{until}{late}" + (f": {said}" if said else "")))
        who = shlex.quote(seen.name)
        if kind == "approval":
            lines += [f"  cairn {verb} {who} --step {shlex.quote(step)}" for verb in ("approve", "reject")]
        elif name:
            lines.append(f"  cairn signal {who} {shlex.quote(name)} [JSON]")
    if any(line.startswith("  ") for line in lines):
        lines.append("  with the address of the store in CAIRN_STORE_URL, or with --store URL")
    return lines


def next_lines(seen: Seen, where: str) -> list[str]:
    """What a person would type next."""
    who = f"{shlex.quote(seen.name)}{where}"
    if seen.phase == "Failed":
        return [
            f"look: kubectl cairn logs {who}",
            f"mended? go on from where it failed: kubectl cairn resume {who}",
        ]
    if seen.finished:
        return [f"look back: kubectl cairn tree {who}"]
    if seen.phase == "Suspended" or seen.suspend:
        return [f"go on: kubectl cairn unpause {who}"]
    if seen.trouble is not None:
        return [f"what to do about it: kubectl cairn doctor{where}"]
    if seen.phase == "Waiting":
        return []
    return [f"follow: kubectl cairn watch {who}", f"read: kubectl cairn logs {who} -f"]


def checkpoint_lines(found: Sequence[Mark], now: datetime, width: int) -> list[str]:
    """A table of Checkpoint objects."""
    rows = [
        (
            mark.name,
            task_text(mark),
            mark.next or "(end)",
            mark.size,
            age(mark.created_at, now),
            "pinned" if mark.pinned else "",
        )
        for mark in found
    ]
    return table(_CHECKPOINTS, rows, width) if rows else ["no Checkpoints"]


def task_text(mark: Mark) -> str:
    """The task that a checkpoint is named after."""
    if not mark.step:
        return "(fork)" if mark.origin else "(start)"
    visit = f"#{mark.visit}" if mark.visit else ""
    return f"{mark.step}{visit}" + (f"[{mark.item}]" if mark.item is not None else "")


def tree_lines(
    seen: Seen, marks: Sequence[Mark], runners: Sequence[Runner], now: datetime, width: int
) -> list[str]:
    """A Workflow, its runs, and under each its pods and newest checkpoints; `marks` newest first."""
    runs = list(
        dict.fromkeys(run for run in (seen.run, *(m.run for m in marks), *(r.run for r in runners)) if run)
    )
    lines = [headline(seen)]
    for n, run in enumerate(runs):
        last = n == len(runs) - 1
        lines.append(f"{'└─' if last else '├─'} {_run_line(run, seen, marks)}")
        own = [
            *(_runner_line(one, now) for one in runners if one.run == run),
            *_mark_lines([mark for mark in marks if mark.run == run], marks, now),
        ]
        stem = "   " if last else "│  "
        lines += [f"{stem}{'└─' if line is own[-1] else '├─'} {line}" for line in own]
    return [cut(line, width) for line in lines]


def _run_line(run: str, seen: Seen, marks: Sequence[Mark]) -> str:
    current = " (current)" if run == seen.run else ""
    origin = next((mark.origin for mark in marks if mark.run == run and mark.origin), "")
    if not origin and seen.resumed.get("run") == run:
        origin = text_of(seen.resumed.get("checkpoint"))
    if not origin:
        return f"run {run_text(run)}{current}"
    if origin == "start":
        return f"run {run_text(run)}{current}, from the start"
    known = next((f"{run_text(mark.run)}/{mark.seq}" for mark in marks if mark.id == origin), origin)
    return f"run {run_text(run)}{current}, forked from {known}"


def _runner_line(runner: Runner, now: datetime) -> str:
    reason = f" ({plain(runner.reason)})" if runner.reason else ""
    return f"pod {runner.name}  {runner.phase}{reason}  {age(runner.created_at, now)}"


def _mark_lines(own: Sequence[Mark], marks: Sequence[Mark], now: datetime) -> list[str]:
    """The newest checkpoints of a run, and of the older ones those that mean something."""
    origins = {mark.origin for mark in marks if mark.origin}
    kept = [mark for n, mark in enumerate(own) if n < _SHOWN or mark.pinned or mark.id in origins]
    lines = []
    for mark in kept:
        pinned = "  pinned" if mark.pinned else ""
        what = f"{task_text(mark)} → {mark.next or '(end)'}"
        lines.append(f"{mark.seq:>3}  {plain(what)}  {mark.size}  {age(mark.created_at, now)}{pinned}")
    more = len(own) - len(kept)
    return [*lines, f"     and {more} more"] if more else lines


def tree_shape(
    workflow: JSONObject, marks: Iterable[JSONObject], runners: Iterable[Runner], origins: Mapping[str, str]
) -> JSONObject:
    """The same for programs."""
    runs: dict[str, JSONObject] = {}
    for run in (text_of(workflow.get("run")), *origins):
        if run:
            runs.setdefault(
                run, {"run": run, "origin": origins.get(run) or None, "pods": [], "checkpoints": []}
            )
    for one in runners:
        pod: JSONObject = {"name": one.name, "epoch": one.epoch, "phase": one.phase, "reason": one.reason}
        _listed(runs, one.run, "pods").append(pod)
    for mark in marks:
        _listed(runs, text_of(mark.get("run")), "checkpoints").append(mark)
    return {**workflow, "runs": [*runs.values()]}


def _listed(runs: dict[str, JSONObject], run: str, name: str) -> list[JSONValue]:
    found = runs.setdefault(run, {"run": run, "origin": None, "pods": [], "checkpoints": []})[name]
    return found if isinstance(found, list) else []


def _head(seen: Seen, now: datetime) -> str:
    if not seen.head:
        return "no checkpoint yet"
    step, seq = text_of(seen.head.get("step")), seen.head.get("seq")
    since = f", {age(moment_of(seen.head['time']), now)} ago" if seen.head.get("time") else ""
    return f"checkpoint {seq}" + (f" after {step}" if step else "") + f"{since}, {seen.head.get('id')}"


def _resumed(resumed: JSONObject) -> str:
    return f"from {text_of(resumed.get('checkpoint'))}" if resumed else ""


def _error(error: JSONObject) -> str:
    return f"{text_of(error.get('reason'))}: {text_of(error.get('message'))}" if error else ""


def _verdict(holds: bool) -> str:  # noqa: FBT001 - a condition is one
    return "True " if holds else "False"
