"""From one World to one Plan, without I/O; the first rule that fits wins.

    no answer from the store ......... wait, say so
    the store lost the wanted run .... nothing is begun again from nothing: say so, if it had not ended
    the wanted run is not made ....... make it: hold the origin, end the old run, create the new one
    it cannot be made ................ say why; the run that there is goes on
    the run is finished .............. tidy up; delete the Workflow when its time is over
    a person has cancelled it ........ end it; its pod then holds an older epoch, and is deleted
    suspended ........................ drain, start nothing
    its runner lives ................. leave it alone, unless it is silent or pending for too long
    ... or its pod will not go ....... start the next one, where this one never began
    ... or its pod does not start .... make it anew once the spec has changed: that may be what mends it
    its runner ended, or there is none count why, pause, start the next one; or give the run up
    ... and the spec has faults ...... start nothing: a pod is built from a spec that is accepted

Every prefix of a plan's actions leaves a world from which the same rules come to the same end: that is what
the property test walks through.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cairn_operator.names import CANCEL_ANNOTATION
from cairn_operator.reconcile import checks
from cairn_operator.reconcile.facts import fields_of_annotation
from cairn_operator.reconcile.state import (
    Action,
    Annotate,
    Attempts,
    CreateRun,
    DeletePod,
    DeleteWorkflow,
    EndRun,
    Hold,
    Note,
    Plan,
    PodFacts,
    ReleaseHold,
    StartRunner,
    World,
)
from cairn_operator.reconcile.status import status_of
from cairn_runtime.model.fingerprints import graph_hash
from cairn_runtime.model.ids import trace_id_for
from cairn_runtime.model.running import Resume
from cairn_runtime.model.threads import labelled_thread
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.audits import word_for_a_fork
from cairn_runtime.store.base import NewRun, Outcome, Run
from cairn_runtime.store.base import Origin as RunOrigin

STORE_PAUSE_SECONDS = 5.0
"""How soon a store that did not answer is asked again; the queue's own back-off comes on top."""
LOOK_AGAIN_SECONDS = 30.0
"""A live runner rings by its commits; this only bounds how late its silence is seen."""
CODE_PAUSE_SECONDS = 10.0
"""How soon `codeFrom` is read again: nobody rings for a ConfigMap, and it may be applied a moment later."""
LOST_PAUSE_SECONDS = 30.0
"""How soon a run that the store has lost is looked for again: nobody rings when a store is given back."""
_LONGEST_PAUSE_SECONDS = 30.0
_REFUSED_PAUSE_SECONDS, _LONGEST_REFUSED_SECONDS = 5.0, 300.0
_DOUBLINGS = 60
_RESUME, _SUSPEND = ("f:spec", "f:resume"), ("f:spec", "f:suspend")
_CANCEL = fields_of_annotation(CANCEL_ANNOTATION)
_CANCELLED = f"cancelled on request, by the annotation {CANCEL_ANNOTATION} of the Workflow"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept, and under which name this installation writes."""

    installation: str
    finished_pods: int = 3
    finished_pods_seconds: float = 3600.0


def decide(world: World, keeping: Keeping) -> Plan:
    """Decide what to do next about one Workflow."""
    if world.store_error is not None:
        return Plan((), status_of(world), STORE_PAUSE_SECONDS)
    if checks.lost(world):
        # Made again it would begin from nothing, its steps' effects included: that is for people to say.
        return Plan((), status_of(world), LOST_PAUSE_SECONDS)
    making = _make(world, keeping)
    if making:
        return Plan(making, status_of(world))
    for_code = CODE_PAUSE_SECONDS if world.manifest is not None and world.accepted is None else None
    if world.run is None:
        return Plan((), status_of(world), for_code)
    actions, again = _go_on(world, world.run, keeping)
    tidied = tuple(_delete(pod, "it is over") for pod in _outlived(world, keeping))
    again = min((s for s in (again, for_code) if s is not None), default=None)
    return Plan((*_strays(world), *actions, *tidied), status_of(world), again)


# -- making runs ----------------------------------------------


def _make(world: World, keeping: Keeping) -> tuple[Action, ...]:
    """Make the run that the spec asks for; empty: it is there, or cannot be made."""
    manifest, accepted = world.manifest, world.accepted
    if world.served or manifest is None or accepted is None:
        return ()
    origin = world.origin
    first: tuple[Action, ...] = ()
    if manifest.spec.resume is not None and not checks.asks_for_start(manifest):
        if origin is None or origin.checkpoint is None or origin.run is None:
            return ()
        source = f"{origin.run.run_id}/{origin.checkpoint.id}"
        first = (_asked(world, manifest.spec.resume, source), Hold(origin.checkpoint.id, world.wanted))
    elif manifest.spec.resume is not None and world.run is not None:
        first = (_asked(world, manifest.spec.resume, world.run.run_id),)
    if world.run is not None and not world.run.finished:
        # Only once its runner can write no more is it certain what `latest` means: then we look again.
        return (*first, _end_for(world, world.run))
    return (*first, CreateRun(_new_run(world, manifest, accepted, keeping)))


def _asked(world: World, resume: Resume, source: str) -> Note:
    """A nonce is one act, however many passes it takes; the line comes before anything is touched."""
    what = word_for_a_fork(resume.state_patch)
    return Note(what, world.wanted, _RESUME, source, target=world.wanted)


def _end_for(world: World, run: Run) -> EndRun:
    text = f"run {world.wanted} takes its place"
    return EndRun(run.run_id, run.epoch, Outcome("Cancelled", "Forked", text))


def _new_run(world: World, manifest: Workflow, accepted: JSONObject, keeping: Keeping) -> NewRun:
    origin = _run_origin(world, manifest)
    parent = world.origin.run if world.origin is not None else None
    key_base = world.wanted
    if parent is not None and origin is not None and origin.plain and origin.seq == parent.head_seq:
        # Another Workflow's run may go on; two that are under way must not share the keys of their tasks.
        key_base = parent.key_base if parent.finished else world.wanted
    annotations: JSONObject = {
        "installation": keeping.installation,
        "deletionPolicy": manifest.spec.deletion_policy,
        **({"held": True} if origin is not None else {}),
    }
    return NewRun(
        run_id=world.wanted,
        workflow=world.workflow.key,
        manifest=accepted,
        graph_hash=graph_hash(manifest.spec),
        key_base=key_base,
        thread=labelled_thread(accepted),
        origin=origin,
        trace_id=trace_id_for(world.wanted),
        annotations=annotations,
    )


def _run_origin(world: World, manifest: Workflow) -> RunOrigin | None:
    found, resume = world.origin, manifest.spec.resume
    if resume is None or found is None or found.checkpoint is None:
        return None
    row = found.checkpoint
    return RunOrigin(
        row.run_id,
        row.seq,
        row.id,
        dict(resume.state_patch),
        resume.as_step,
        tuple(resume.steps),
        tuple(resume.skip),
    )


# -- going on ----------------------------------------------


def _go_on(world: World, run: Run, keeping: Keeping) -> tuple[tuple[Action, ...], float | None]:
    """What to do about the run that there is, and when to look again."""
    noted = (*_noted(world, run), *_released(run))
    if run.finished:
        actions, again = _finished(world, run, keeping)
        return (*noted, *actions), again
    if checks.cancelled(world, run):
        asked = Note("cancel", f"{run.run_id}:annotation", _CANCEL, source=run.run_id)
        outcome = Outcome("Cancelled", "Cancelled", _CANCELLED)
        return (*noted, asked, EndRun(run.run_id, run.epoch, outcome)), None
    noted += _paused(world, run)
    pod = checks.runner_pod(world)
    if checks.suspended(world):
        return (*noted, *_suspend(world, run, pod)), None
    if pod is not None and not pod.over:
        actions, again = _alive(world, run, pod)
    else:
        actions, again = _next_attempt(world, run, pod)
    return (*noted, *actions), again


def _suspend(world: World, run: Run, pod: PodFacts | None) -> tuple[Action, ...]:
    """Drain its runner; how that ended is counted now, or it would look like a pod that vanished later."""
    if pod is not None and not pod.over:
        return () if pod.deleting else (_delete(pod, "the Workflow is suspended"),)
    if run.epoch == 0 or checks.attempts_of(run).epoch == run.epoch:
        return ()
    cause = checks.Cause("Done", "") if pod is None else checks.cause_of(pod)
    if cause.kind == "Unusable":
        return (_end(run, cause.reason, cause.message),)
    return (_counted(world, run, pod, cause),)


def _noted(world: World, run: Run) -> tuple[Action, ...]:
    """Keep in the row what the sweep must know once the object is gone."""
    if world.manifest is None or world.manifest.spec.deletion_policy == run.annotations.get("deletionPolicy"):
        return ()
    return (Annotate(run.run_id, {"deletionPolicy": world.manifest.spec.deletion_policy}),)


def _paused(world: World, run: Run) -> tuple[Action, ...]:
    """Tell the audit that a run is held, or goes on, and keep in the row that this was told.

    It is numbered there, so that a pass that begins again writes the same line, and the next pause another.
    """
    before, wanted = checks.pauses_of(run), checks.suspended(world)
    if before.on == wanted:
        return ()
    number = before.number + 1
    what = "pause" if wanted else "unpause"
    asked = Note(what, f"{run.run_id}:{number}", _SUSPEND, source=run.run_id)
    return asked, Annotate(run.run_id, {"pauses": {"number": number, "on": wanted}})


def _released(run: Run) -> tuple[Action, ...]:
    """Let go of a fork's origin once the fork has a checkpoint of its own, or never will have one.

    That it is held stands in the fork's row, not in the status: a status may be written late, or never.
    """
    if not run.annotations.get("held") or not (run.head_seq or run.finished):
        return ()
    return ReleaseHold(run.run_id), Annotate(run.run_id, {"held": None})


def _finished(world: World, run: Run, keeping: Keeping) -> tuple[tuple[Action, ...], float | None]:
    over = [pod for pod in world.pods if pod.over]
    again = keeping.finished_pods_seconds if over else None
    ttl = world.manifest.spec.ttl_after_finished if world.manifest is not None else None
    if ttl is None or not world.served:
        # Where a resume waits to be served, somebody has asked for more.
        return (), again
    left = (run.updated_at + timedelta(seconds=ttl) - world.now).total_seconds()
    if left <= 0:
        return (DeleteWorkflow(),), None
    return (), left if again is None else min(left, again)


def _alive(world: World, run: Run, pod: PodFacts) -> tuple[tuple[Action, ...], float | None]:
    """Its process lives or is about to: leave it alone, unless it is silent, outdated or pending long."""
    if checks.silent(world, pod) and world.manifest is not None:
        gone = () if pod.deleting else (_delete(pod, "its runner is silent"),)
        return (*gone, StartRunner(run.run_id, run.epoch)), None
    if checks.stranded(world, pod) and world.manifest is not None:
        return _started(world, run), None
    if checks.outdated(world, pod) and world.manifest is not None:
        return (_delete(pod, "it does not start, and the spec has changed since"),), None
    limit = world.manifest.spec.pod.pending_timeout if world.manifest is not None else None
    if limit is None or pod.running_since is not None or pod.deleting:
        return (), LOOK_AGAIN_SECONDS
    left = (pod.created_at + timedelta(seconds=limit) - world.now).total_seconds()
    if left > 0:
        return (), left
    why = f": {pod.waiting_message}" if pod.waiting_message else ""
    text = f"pod {pod.name} was pending for longer than pendingTimeout ({limit:g} seconds){why}"
    return (_end(run, "PendingTimeout", text),), None


def _next_attempt(world: World, run: Run, pod: PodFacts | None) -> tuple[tuple[Action, ...], float | None]:
    """No process works on the run: wait for an answer, count why the last one ended, start the next."""
    if run.phase == "Waiting" and not checks.due(run, world.signals, world.now):
        # However its process ended: it had parked before. With faults in the spec nobody would wake it then.
        waking = run.wake_at if world.manifest is not None else None
        return (), None if waking is None else (waking - world.now).total_seconds()
    if run.epoch == 0:
        return _started(world, run), None
    cause = _cause(world, run, pod)
    if cause.kind == "Unusable":
        return (_end(run, cause.reason, cause.message),), None
    note = checks.attempts_of(run)
    if note.epoch != run.epoch:
        if cause.kind == "Done" and run.head_seq > note.head_seq:
            return _started(world, run), None
        return (_counted(world, run, pod, cause),), None
    return _after_pause(world, run, note)


def _started(world: World, run: Run) -> tuple[Action, ...]:
    """Start a runner, unless the spec that its pod is built from has faults."""
    return () if world.manifest is None else (StartRunner(run.run_id, run.epoch),)


def _counted(world: World, run: Run, pod: PodFacts | None, cause: checks.Cause) -> Annotate:
    """Note how the attempt of the row's epoch ended."""
    # Another node's clock may be ahead, and a pause that begins in the future is a longer one.
    ended_at = min(pod.ended_at or world.now, world.now) if pod is not None else world.now
    note = checks.counted(run, cause, ended_at)
    return Annotate(run.run_id, {"attempts": checks.attempts_out(note)})


def _cause(world: World, run: Run, pod: PodFacts | None) -> checks.Cause:
    if pod is None and world.create_error is not None:
        return checks.Cause("Disrupted", *world.create_error)
    if pod is None and run.phase == "Waiting":
        return checks.Cause("Done", "")  # it parked, and its pod was tidied away
    return checks.cause_of(pod)


def _after_pause(world: World, run: Run, note: Attempts) -> tuple[tuple[Action, ...], float | None]:
    if world.manifest is None:
        return (), None
    restart = world.manifest.spec.restart
    if note.restarts > restart.limit:
        times = "time" if note.restarts == 1 else "times in a row"
        text = (
            f"the runner crashed {note.restarts} {times} with no new checkpoint; the last cause: {note.cause}"
        )
        return (_end(run, "CrashLoop", f"{text}: {note.message}" if note.message else text),), None
    crash_pause = 0.0
    if note.restarts:
        doubled = restart.base_delay * 2.0 ** min(note.restarts - 1, _DOUBLINGS)
        crash_pause = min(doubled, restart.max_delay)
    left = _left(world.now, note.at, max(crash_pause, _gentle_pause(world, note)))
    return (_started(world, run), None) if left <= 0 else ((), left)


def _gentle_pause(world: World, note: Attempts) -> float:
    """Nobody is punished for the first disruption; what goes on for long must not become a storm."""
    if world.create_error is not None:
        return min(
            _REFUSED_PAUSE_SECONDS * 2.0 ** min(max(note.disruptions - 1, 0), _DOUBLINGS),
            _LONGEST_REFUSED_SECONDS,
        )
    if note.disruptions <= 1:
        return 0.0
    return min(2.0 ** min(note.disruptions - 2, _DOUBLINGS), _LONGEST_PAUSE_SECONDS)


def _left(now: datetime, at: datetime | None, pause_seconds: float) -> float:
    """What is left of a pause; a note from the future was made by another clock, and nobody waits for it."""
    return 0.0 if at is None or at > now else pause_seconds - (now - at).total_seconds()


# -- small ----------------------------------------------


def _strays(world: World) -> tuple[Action, ...]:
    return tuple(_delete(pod, "another run or epoch is the current one") for pod in checks.strays(world))


def _outlived(world: World, keeping: Keeping) -> list[PodFacts]:
    return checks.outlived(world, keep=keeping.finished_pods, keep_seconds=keeping.finished_pods_seconds)


def _delete(pod: PodFacts, why: str) -> DeletePod:
    return DeletePod(pod.name, pod.uid, why)


def _end(run: Run, reason: str, message: str) -> EndRun:
    return EndRun(run.run_id, run.epoch, Outcome("Failed", reason, message[: checks.MAX_MESSAGE]))
