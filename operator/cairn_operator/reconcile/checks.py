"""Facts about a World: each function is named after what it finds, and finds it without I/O.

Why a run attempt ended is told apart here, because it decides what comes next:

    Done          the runner did what it could: parked, drained
    Disrupted     nobody's fault: a drained node, an evicted or vanished pod; never counts
    NoStore       the store did not answer it (exit 69); never counts
    Fenced        another epoch holds the run (exit 75); never counts
    Crashed       counts, unless a checkpoint came since the crash before
    Unusable      this run or this image cannot go on (exit 78, no Cairn in the image): fails the run at once

Source: design, section 6, "Failures are classified"; for the kubelet's words: the API reference of
ContainerStateTerminated and PodCondition `DisruptionTarget`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import orjson

from cairn_operator.names import CANCEL_ANNOTATION
from cairn_operator.reconcile.state import Attempts, Ended, PodFacts, World
from cairn_runtime.errors import EXIT_CONFIG, EXIT_DONE, EXIT_STORE_UNAVAILABLE, EXIT_SUPERSEDED
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import Run, Signal, Wait

SILENT_SECONDS = 30.0
"""A runner that has shown no sign for so long is taken for lost; it shows one every 5 seconds."""
MAX_MESSAGE = 1024
"""Characters of a message that a status or a note keeps."""
_MAX_COUNT = 2**31

_MISSING = (
    "No module named 'cairn_runtime",
    'No module named "cairn_runtime',
    "No module named cairn_runtime",
)
_NOT_STARTED = ("ContainerCannotRun", "StartError")
_NO_COMMAND = ("executable file not found", "no such file or directory")
"""What a container runtime says where there is no Python; whatever else keeps it from starting may pass."""
MEND_IMAGE = (
    "the image has no Cairn in it; add this line to its Dockerfile: "
    "RUN pip install 'cairn-workflows[postgres,redis]'"
)

Kind = Literal["Done", "Disrupted", "NoStore", "Fenced", "Crashed", "Unusable"]


class Cause(NamedTuple):
    """Why a run attempt ended."""

    kind: Kind
    reason: str
    message: str = ""


class Pauses(NamedTuple):
    """How many pauses and ends of pauses a run has seen, and whether the last was a pause."""

    number: int = 0
    on: bool = False


# -- pods ----------------------------------------------


def runner_pod(world: World) -> PodFacts | None:
    """The pod that was made for the row's own epoch."""
    run = world.run
    if run is None:
        return None
    return next((pod for pod in world.pods if pod.run_id == run.run_id and pod.epoch == run.epoch), None)


def strays(world: World) -> list[PodFacts]:
    """Pods that still run for another run or epoch than the row's: harmless, because they are fenced."""
    own = runner_pod(world)
    return [pod for pod in world.pods if pod is not own and not pod.over and not pod.deleting]


def outlived(world: World, *, keep: int, keep_seconds: float) -> list[PodFacts]:
    """Pods whose process is over and that nobody needs to look at any more: beyond the newest, or too old."""
    over = sorted((pod for pod in world.pods if pod.over), key=lambda pod: pod.created_at, reverse=True)
    oldest = world.now - timedelta(seconds=keep_seconds)
    needed = runner_pod(world) if world.run is not None and not world.run.finished else None
    return [
        pod
        for n, pod in enumerate(over)
        if pod is not needed and not pod.deleting and (n >= keep or (pod.ended_at or pod.created_at) < oldest)
    ]


def silent(world: World, pod: PodFacts) -> bool:
    """Whether the runner in this pod is taken for lost."""
    return not world.suspect and beats(world, pod) and world.quiet_seconds > SILENT_SECONDS


def beats(world: World, pod: PodFacts | None) -> bool:
    """Whether there is a runner that must have shown itself by now."""
    if pod is None or pod.over or pod.running_since is None:
        return False
    return (world.now - pod.running_since).total_seconds() > SILENT_SECONDS


def stuck(pod: PodFacts) -> bool:
    """Whether the cluster says why this pod does not start."""
    return not pod.over and pod.running_since is None and bool(pod.waiting)


def stranded(world: World, pod: PodFacts) -> bool:
    """Whether this pod never began and should be gone for long: a lost node, or a finalizer hangs."""
    if pod.over or pod.running_since is not None or pod.gone_by is None:
        return False
    return (world.now - pod.gone_by).total_seconds() > SILENT_SECONDS


def outdated(world: World, pod: PodFacts) -> bool:
    """Whether this pod does not start, and was built from a spec that has been changed since."""
    return stuck(pod) and not pod.deleting and 0 <= pod.generation < world.workflow.generation


# -- ends ----------------------------------------------


def cause_of(pod: PodFacts | None) -> Cause:
    """Tell why the attempt of this pod ended; None: it is not there any more, or never was made."""
    if pod is None:
        return Cause("Disrupted", "PodVanished", "the runner's pod is not there any more")
    word = last_word(pod.ended)
    if pod.ended is not None and (verdict := _by_code(pod.ended, word)) is not None:
        return verdict
    if pod.disrupted:
        return Cause("Disrupted", pod.disrupted, f"the cluster took pod {pod.name} away")
    if pod.deleting:
        return Cause("Disrupted", "PodDeleted", f"pod {pod.name} was deleted")
    if pod.ended is None:
        return Cause("Disrupted", "PodVanished", f"pod {pod.name} ended without a word about its process")
    return _crash(pod, pod.ended, word)


def last_word(ended: Ended | None) -> JSONObject:
    """The runner's last word: a JSON object with `run` in it; empty where there is none."""
    if ended is None:
        return {}
    try:
        word = orjson.loads(ended.message)
    except orjson.JSONDecodeError:
        return {}
    return word if isinstance(word, dict) and isinstance(word.get("run"), str) else {}


def _by_code(ended: Ended, word: JSONObject) -> Cause | None:
    """What an exit code means by itself, whoever ended the pod; None: it needs a closer look."""
    said = (str(word.get("reason", "")), str(word.get("message", "")))
    if ended.code == EXIT_DONE and word:
        return Cause("Done", *said)
    if ended.code == EXIT_STORE_UNAVAILABLE and word:
        return Cause("NoStore", said[0] or "StoreUnavailable", said[1])
    if ended.code == EXIT_SUPERSEDED and word:
        return Cause("Fenced", said[0] or "Superseded", said[1])
    if ended.code == EXIT_CONFIG:
        return Cause("Unusable", said[0] or "RunnerUnusable", said[1] or _tail(ended.message))
    if not word and _runner_missing(ended):
        return Cause("Unusable", "RunnerMissing", MEND_IMAGE)
    return None


def _runner_missing(ended: Ended) -> bool:
    """Whether Python, or Cairn in it, is not in the image."""
    if ended.reason in _NOT_STARTED:
        return any(text in ended.message for text in _NO_COMMAND)
    return any(text in ended.message for text in _MISSING)


def _crash(pod: PodFacts, ended: Ended, word: JSONObject) -> Cause:
    if ended.reason == "OOMKilled":
        text = f"pod {pod.name} used more memory than its limit; raise spec.pod.resources.limits.memory"
        return Cause("Crashed", "OOMKilled", text)
    said = str(word.get("message", "")) or _tail(ended.message)
    how = f"the runner in pod {pod.name} ended with exit code {ended.code}"
    return Cause("Crashed", str(word.get("reason", "")) or "RunnerCrashed", f"{how}: {said}" if said else how)


def _tail(text: str) -> str:
    """The end of a log, where the reason stands."""
    return text.strip()[-MAX_MESSAGE:]


# -- attempts ----------------------------------------------


def attempts_of(run: Run) -> Attempts:
    """Read the operator's note about the attempts; a note that is not ours counts as none."""
    raw = run.annotations.get("attempts")
    if not isinstance(raw, dict):
        return Attempts()
    try:
        return Attempts(
            epoch=_count(raw["epoch"]),
            head_seq=_count(raw["headSeq"]),
            restarts=_count(raw["restarts"]),
            total=_count(raw["total"]),
            disruptions=_count(raw["disruptions"]),
            cause=str(raw["cause"]),
            message=str(raw["message"]),
            at=None if raw["at"] is None else from_wire(str(raw["at"])),
        )
    except (KeyError, ValueError, OverflowError):
        return Attempts()


def _count(value: JSONValue) -> int:
    if type(value) is not int or not 0 <= value < _MAX_COUNT:
        raise ValueError("not a count of ours")
    return value


def counted(run: Run, cause: Cause, at: datetime) -> Attempts:
    """Count the end of the row's epoch; a new checkpoint since the last count starts both counts again.

    An end as it should be takes nothing from what people read about the one before.
    """
    before = attempts_of(run)
    moved = run.head_seq > before.head_seq
    crashed, well = cause.kind == "Crashed", cause.kind == "Done"
    return Attempts(
        epoch=run.epoch,
        head_seq=run.head_seq,
        restarts=(0 if moved else before.restarts) + crashed,
        total=before.total + crashed,
        disruptions=(0 if moved else before.disruptions) + (not crashed),
        cause=before.cause if well else cause.reason,
        message=before.message if well else cause.message[:MAX_MESSAGE],
        at=at,
    )


def attempts_out(attempts: Attempts) -> JSONObject:
    """Write the note."""
    return {
        "epoch": attempts.epoch,
        "headSeq": attempts.head_seq,
        "restarts": attempts.restarts,
        "total": attempts.total,
        "disruptions": attempts.disruptions,
        "cause": attempts.cause,
        "message": attempts.message,
        "at": None if attempts.at is None else to_wire(attempts.at),
    }


# -- waits ----------------------------------------------


def due(run: Run, signals: Sequence[Signal], now: datetime) -> bool:
    """Tell whether a parked run may have something to do; its runner judges whether it really has."""
    if run.wake_at is not None and run.wake_at <= now:
        return True
    return any(_answers(signal, wait) for signal in signals for wait in run.waits)


def _answers(signal: Signal, wait: Wait) -> bool:
    if wait.kind == "approval":
        return signal.wait == wait.name
    return bool(wait.name) and signal.name == wait.name


# -- the spec ----------------------------------------------


def suspended(world: World) -> bool:
    """Whether the run is to be drained and held; a spec that is broken elsewhere still says so."""
    if world.manifest is not None:
        return world.manifest.spec.suspend
    spec = world.workflow.document.get("spec")
    return isinstance(spec, dict) and spec.get("suspend") is True


def pauses_of(run: Run) -> Pauses:
    """Read the operator's note about pauses; a note that is not ours counts as none."""
    raw = run.annotations.get("pauses")
    if not isinstance(raw, dict):
        return Pauses()
    try:
        return Pauses(_count(raw["number"]), raw["on"] is True)
    except (KeyError, ValueError):
        return Pauses()


def cancelled(world: World, run: Run) -> bool:
    """Whether a person has asked that this run end; what they asked of another run counts for nothing."""
    metadata = world.workflow.document.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(notes, dict) and notes.get(CANCEL_ANNOTATION) == run.run_id


def lost(world: World) -> bool:
    """Whether the store does not know the run that the spec asks for, though its status tells of checkpoints.

    It was in that store once: rows are made before a status tells of them. A run without a checkpoint is not
    lost but made again, as nothing of it has happened.
    """
    status = world.workflow.status
    head, told = status.get("head"), status.get("run")
    if world.store_error is not None or world.served or not (isinstance(head, dict) and head.get("seq")):
        return False
    # Only a nonce asks for another run; and without a readable spec nobody knows which one it asks for.
    named = world.manifest is not None and world.manifest.spec.resume is not None
    return (bool(world.wanted) and told == world.wanted) or (not named and world.run is None)


def asks_for_start(manifest: Workflow) -> bool:
    """Whether the resume begins from the beginning, without an origin."""
    return manifest.spec.resume is not None and manifest.spec.resume.checkpoint == "start"
