"""The status of a Workflow, made of what was observed.

It is read back for the times of its conditions, and where the store is silent or has lost the run.

Conditions are the truth and `phase` is derived for people; their reasons are constant words.
Everything has a bound, so that the status of a run of ten thousand steps stays small; and whatever a row, a
runner or the API says is brought into the shape that the definition asks for, or the server refuses it whole.
`progress` counts steps that the run cannot come to any more: done, skipped, or not chosen. It is worked out
from the graph and the head's `next`, so that no state is read, and at the end it is all of them.
Source for Reconciling and Stalled: kstatus, conventions of sigs.k8s.io/cli-utils. A failed run is Stalled,
as a failed Job is Failed there: nothing goes on until somebody changes the spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from cairn_operator.reconcile import checks
from cairn_operator.reconcile.state import PodFacts, World
from cairn_operator.resources.views import next_text
from cairn_runtime.model.edges import edges
from cairn_runtime.model.ids import to_wire, trace_id_for
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import FINISHED, Phase, Run, Wait

MAX_CURRENT_STEPS = 20
MAX_WAITS = 20
MAX_WORDS = 256
"""Bytes of a wait's message."""
MAX_REASON = 128
"""What a Kubernetes Event takes."""
MAX_FAULTS = 4096
"""Bytes of all that is wrong with a manifest."""
FULL_NEXT = 32
"""So many names in a checkpoint's `next` may not be all: the engine writes no more."""
_MAX_ID, _MAX_STEP, _MAX_TASK, _MAX_NAME = 64, 45, 96, 128
_NOT_IN_A_REASON = re.compile(r"[^A-Za-z0-9_,:]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NO_POD = "the spec has faults, so no new pod is made; see the condition Accepted"
_MISSING = (
    "the store does not know this run any more, and it is not begun again from nothing; give the operator"
    " the store back in which it was, import it, or begin anew: resume: {checkpoint: start, nonce: ...}"
)
_SUSPECT = "many runners look silent at once; the store is the likely cause, and none is replaced"


def status_of(world: World) -> JSONObject:
    """Make the whole status."""
    if checks.lost(world):
        return _of_a_lost_run(world)
    run, pod = world.run, checks.runner_pod(world)
    phase = _phase(world, pod)
    status: JSONObject = {
        "observedGeneration": world.workflow.generation,
        "phase": phase,
        "conditions": _conditions(world, phase, pod),
    }
    if run is None:
        # What the store does not tell, now or any more, takes nothing from what people already see.
        return {**_kept(world), **status}
    attempts = checks.attempts_of(run)
    status |= {
        "run": _text(run.run_id, _MAX_ID),
        "traceId": trace_id_for(run.run_id),
        "epoch": run.epoch,
        "pod": pod.name if pod is not None and not pod.over else "",
        "progress": progress(world),
        "currentSteps": [*(steps := _current_steps(world))],
        "step": next_text(steps),
        "waits": [_wait(wait) for wait in run.waits[:MAX_WAITS]],
        "restarts": attempts.total,
    }
    if run.head_seq:
        status["head"] = _head(world, run)
    if (resumed := _last_resume(world, run)) is not None:
        status["lastResume"] = resumed
    if (error := _last_error(run, attempts.cause, attempts.message)) is not None:
        status["lastError"] = error
    return status


def _of_a_lost_run(world: World) -> JSONObject:
    """What people see of it stays, as it is all that is left; of one that had not ended it is told.

    The rows of one that has ended may go, by an expiry of the store for instance.
    """
    kept = {**world.workflow.status, "observedGeneration": world.workflow.generation}
    if kept.get("phase") in FINISHED:
        return kept
    return {
        **kept,
        "phase": "Pending",
        "pod": "",
        "conditions": _conditions(replace(world, run=None), "Pending", None),
    }


# -- phase and conditions ----------------------------------------------


def _phase(world: World, pod: PodFacts | None) -> str:
    run = world.run
    if run is None:
        shown = world.workflow.status.get("phase") if world.store_error is not None else None
        return shown if isinstance(shown, str) and shown in get_args(Phase) else "Pending"
    if run.finished:
        return run.phase
    lives = pod is not None and not pod.over
    if checks.suspended(world) and not lives:
        return "Suspended"
    if run.phase == "Waiting":
        return "Waiting"
    return "Running" if run.head_seq or (lives and pod is not None and pod.running_since) else "Pending"


def _conditions(world: World, phase: str, pod: PodFacts | None) -> list[JSONValue]:
    run = world.run
    reason, message = (run.reason, run.message) if run is not None else ("", "")
    accepted, degraded = _accepted(world), _degraded(world, pod)
    finished = run is not None and run.finished
    stalled = _stalled(world, accepted, pod)
    settled = stalled is not None or finished or phase in ("Waiting", "Suspended")
    wanted: dict[str, tuple[str, str, str]] = {
        "Accepted": accepted,
        "Running": _is(phase == "Running", "RunnerActive", phase or "Pending"),
        "Waiting": _is(phase == "Waiting", "Parked", phase, _waits_for(run)),
        "Suspended": _is(phase == "Suspended", "SuspendedBySpec", phase),
        "Succeeded": _is(phase == "Succeeded", "Completed", phase),
        "Failed": _is(phase == "Failed", reason or "Failed", phase, message),
        "Degraded": degraded,
        "Reconciling": _is(not settled, "InProgress", "Settled"),
        "Stalled": ("False", "NotStalled", "") if stalled is None else ("True", *stalled),
    }
    return [_condition(world, name, *values) for name, values in wanted.items()]


def _is(truth: bool, yes: str, no: str, message: str = "") -> tuple[str, str, str]:  # noqa: FBT001 - a condition is one
    return ("True", yes, message) if truth else ("False", no, "")


def _accepted(world: World) -> tuple[str, str, str]:
    if world.faults:
        return "False", "ManifestInvalid", "\n".join(str(fault) for fault in world.faults)
    return "True", "Valid", ""


def _stalled(world: World, accepted: tuple[str, str, str], pod: PodFacts | None) -> tuple[str, str] | None:
    """Why nothing will go on until a person changes something; None: something does, or all is done."""
    run = world.run
    lives = world.manifest is not None or (pod is not None and not pod.over)
    if world.store_error is not None or (_unfinished(run) and lives):
        return None
    if accepted[0] == "False":
        return accepted[1:]
    if (unserved := _unserved(world)) is not None:
        return unserved
    return (run.reason or "Failed", run.message) if run is not None and run.phase == "Failed" else None


def _unserved(world: World) -> tuple[str, str] | None:
    """Why the run that the spec asks for cannot be made; None: it is there, or can be made."""
    if checks.lost(world):
        return "RunMissing", _MISSING
    origin = world.origin
    if world.served or origin is None or origin.checkpoint is not None:
        return None
    return origin.reason, origin.message


def _degraded(world: World, pod: PodFacts | None) -> tuple[str, str, str]:
    """The first thing that keeps the Workflow from going on as asked, in the order in which to mend them."""
    found = (
        world.store_error,
        world.trouble,
        ("ManifestInvalid", _NO_POD) if world.manifest is None and _unfinished(world.run) else None,
        _unserved(world),
        world.create_error if _unfinished(world.run) and not checks.suspended(world) else None,
        (pod.waiting, pod.waiting_message) if pod is not None and checks.stuck(pod) else None,
        ("StoreSuspect", _SUSPECT) if world.suspect else None,
    )
    return next((("True", *words) for words in found if words is not None), ("False", "Healthy", ""))


def _unfinished(run: Run | None) -> bool:
    return run is not None and not run.finished


def _condition(world: World, name: str, status: str, reason: str, message: str) -> JSONObject:
    """One condition; the time stays as long as its status does."""
    before = next((c for c in _conditions_before(world) if c.get("type") == name), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": name,
        "status": status,
        "reason": _word(reason),
        "message": _text(message, MAX_FAULTS if name == "Accepted" else checks.MAX_MESSAGE),
        "observedGeneration": world.workflow.generation,
        "lastTransitionTime": since or world.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _conditions_before(world: World) -> list[JSONObject]:
    conditions = world.workflow.status.get("conditions")
    return [c for c in conditions if isinstance(c, dict)] if isinstance(conditions, list) else []


def _kept(world: World) -> JSONObject:
    return {key: value for key, value in world.workflow.status.items() if key != "conditions"}


# -- where the run stands ----------------------------------------------


def progress(world: World) -> str:
    """Steps that the run cannot come to any more, of all: `7/12`; empty where the manifest is unreadable."""
    manifest, run = world.manifest, world.run
    if manifest is None or run is None:
        return ""
    total = len(manifest.spec.steps)
    if run.phase == "Succeeded":
        return f"{total}/{total}"
    if world.head is None:
        return f"0/{total}"
    if len(world.head.next) >= FULL_NEXT:
        # What else is under way is not told: the number stands still, rather than fall later.
        return _shown_progress(world, run) or f"0/{total}"
    return f"{total - len(reachable(manifest, world.head.next))}/{total}"


def _shown_progress(world: World, run: Run) -> str:
    status = world.workflow.status
    shown = status.get("progress") if status.get("run") == run.run_id else None
    return shown if isinstance(shown, str) else ""


def reachable(manifest: Workflow, names: Iterable[str]) -> set[str]:
    """The given steps and all that a path leads to from them."""
    followers: dict[str, list[str]] = {step.name: [] for step in manifest.spec.steps}
    for edge in edges(manifest.spec.steps):
        followers[edge.source].append(edge.target)
    found: set[str] = set()
    left = [name for name in names if name in followers]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += followers[name]
    return found


def _current_steps(world: World) -> list[str]:
    if world.run is None or world.run.finished or world.head is None:
        return []
    return [_text(name, _MAX_STEP) for name in dict.fromkeys(world.head.next)][:MAX_CURRENT_STEPS]


def _head(world: World, run: Run) -> JSONObject:
    head: JSONObject = {"seq": run.head_seq, "id": _text(run.head_id, _MAX_ID)}
    if world.head is not None and world.head.seq == run.head_seq:
        head |= {
            "step": _text(world.head.step, _MAX_STEP),
            "time": to_wire(world.head.created_at),
            "bytes": world.head.size,
        }
    return head


def _wait(wait: Wait) -> JSONObject:
    out: JSONObject = {"task": _text(wait.task, _MAX_TASK), "kind": wait.kind}
    if wait.name:
        out["name"] = _text(wait.name, _MAX_NAME)
    if wait.message:
        out["message"] = _text(wait.message, MAX_WORDS)
    if wait.deadline is not None:
        out["deadline"] = to_wire(wait.deadline)
    if wait.until is not None:
        out["until"] = to_wire(wait.until)
    return out


def _waits_for(run: Run | None) -> str:
    if run is None:
        return ""
    named = [f"{wait.kind} {wait.name or wait.task}" for wait in run.waits]
    more = f" and {len(named) - MAX_WAITS} more" if len(named) > MAX_WAITS else ""
    return ", ".join(named[:MAX_WAITS]) + more


def _last_resume(world: World, run: Run) -> JSONObject | None:
    """The nonce that was served last, with what it became; kept from before where nothing new was served."""
    resume = world.manifest.spec.resume if world.manifest is not None else None
    if resume is None or not world.served or run.run_id != world.wanted:
        before = world.workflow.status.get("lastResume")
        return before if isinstance(before, dict) else None
    origin = run.origin.checkpoint_id if run.origin is not None else "start"
    return {
        "nonce": resume.nonce,
        "checkpoint": _text(origin, _MAX_ID),
        "run": _text(run.run_id, _MAX_ID),
    }


def _last_error(run: Run, cause: str, message: str) -> JSONObject | None:
    if run.phase == "Failed":
        return {"reason": _word(run.reason), "message": _text(run.message, checks.MAX_MESSAGE)}
    if cause and run.phase not in ("Succeeded", "Cancelled"):
        return {"reason": _word(cause), "message": _text(message, checks.MAX_MESSAGE)}
    return None


# -- what others say, in our shape ----------------------------------------------


def _word(reason: str) -> str:
    """A constant word of whatever was given as one: it begins with a letter, and has no spaces."""
    word = _NOT_IN_A_REASON.sub("", reason[:MAX_REASON]).lstrip("0123456789_,:").rstrip(",:")
    return word or "Unknown"


def _text(text: str, most_bytes: int) -> str:
    """As much of a text as fits, in whole characters; as JSON it is at most twice as long."""
    kept = text[:most_bytes].encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")
    return _CONTROL.sub(" ", kept)
