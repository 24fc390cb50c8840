"""Every error that Cairn raises, in one tree.

Each class says in its docstring what happened and what to do about it; the text also serves as the
default message.
`reason` is the constant word that users meet again in conditions, in JSON output and in logs.
`retryable` tells whether the same call may succeed later without anybody changing anything.
`exit_code` is what the runner and the command line end with.

    CairnError
    ├── InvalidInput                 bad usage: faults, each with its path
    │   ├── ManifestInvalid          the Workflow file
    │   ├── StoreUrlInvalid          the store's address
    │   └── SettingsInvalid          a process's environment variables
    ├── NotFound
    │   ├── RunNotFound
    │   └── CheckpointNotFound
    ├── StepError                    why a task failed; what `retry` and `catch` see
    │   ├── StepFailed               user code raised, a command ended with a code
    │   ├── StepTimeout              overran `timeout`
    │   ├── StepUnusable             module, function or program cannot be loaded
    │   ├── WriteRefused             not JSON, undeclared, against the schema, reducer failed
    │   ├── ConflictingWrites        two tasks replaced one channel
    │   ├── ExpressionFailed         a CEL expression failed on this state
    │   ├── DeadlinePassed           nobody answered an approval or signal in time
    │   └── VisitsExhausted          `maxVisits`
    ├── StoreError
    │   ├── StoreUnavailable         no answer, locked, full: try again
    │   ├── StoreUnusable            refused for good: rights, file system, not a store
    │   │   └── StoreLoginRefused    user or password: whoever was let in before asks again
    │   ├── StoreTooNew              schema written by a newer release
    │   ├── Superseded               another claim holds the run
    │   ├── HistoryConflict          a different run exists under this id
    │   ├── WaitClosed               nobody waits for this answer
    │   └── CheckpointTooLarge       one checkpoint over the size bound
    ├── PayloadError
    │   ├── CheckpointCorrupted      digest, chain or encoding is wrong
    │   ├── FormatUnknown            written by a newer release
    │   ├── KeyMissing               encrypted with a key that is not in the ring
    │   └── NotEncrypted             plain, where the key ring refuses that
    ├── SpecChanged                  an unfinished run has another spec
    └── ClusterError                 kubectl, or the server behind it, refused
        ├── KubectlMissing           there is no kubectl
        ├── CairnMissing             the cluster does not know Workflows
        ├── NotAllowed               this user lacks a right
        ├── ClusterUnavailable       no answer from the server, or from the operator
        └── ResumeRefused            the operator cannot serve this resume
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import getdoc
from typing import ClassVar

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARKED = 3
EXIT_NOT_FOUND = 4
EXIT_STORE_UNAVAILABLE = 69
EXIT_SUPERSEDED = 75
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in what a user wrote: where it is and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        """Read as `path: message`, or the message alone where there is no path."""
        return f"{self.path}: {self.message}" if self.path else self.message


class CairnError(Exception):
    """Something went wrong in Cairn."""

    reason: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str = "") -> None:
        told = (getdoc(type(self)) or type(self).__name__).split("\n\n")[0]
        super().__init__(message or " ".join(told.split()))

    @property
    def message(self) -> str:
        """The text for people."""
        return str(self.args[0])


class InvalidInput(CairnError):
    """What was given cannot be used; every fault is named with its path."""

    reason = "InvalidInput"
    exit_code = EXIT_USAGE

    def __init__(self, faults: list[Fault] | str) -> None:
        self.faults = [Fault("", faults)] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class ManifestInvalid(InvalidInput):
    """The Workflow cannot be accepted; mend the named fields and apply it again."""

    reason = "ManifestInvalid"


class StoreUrlInvalid(InvalidInput):
    """The store's URL cannot be used; see `docs/reference/stores.md` for the forms."""

    reason = "StoreUrlInvalid"


class SettingsInvalid(InvalidInput):
    """A process cannot start with these environment variables; mend the named ones."""

    reason = "SettingsInvalid"
    exit_code = EXIT_CONFIG


class NotFound(CairnError):
    """There is nothing under this name in the store."""

    reason = "NotFound"
    exit_code = EXIT_NOT_FOUND


class RunNotFound(NotFound):
    """No run with this id is in the store; `cairn runs` lists what is there."""

    reason = "RunNotFound"

    def __init__(self, run_id: str, message: str = "") -> None:
        self.run_id = run_id
        super().__init__(message or f'no run "{run_id}" in this store; list them with: cairn runs')


class CheckpointNotFound(NotFound):
    """No checkpoint with this id is in the store; `cairn checkpoints` lists what is there."""

    reason = "CheckpointNotFound"

    def __init__(self, checkpoint_id: str, message: str = "") -> None:
        self.checkpoint_id = checkpoint_id
        text = f'no checkpoint "{checkpoint_id}" in this store; list them with: cairn checkpoints'
        super().__init__(message or text)


class StepError(CairnError):
    """A task failed.

    `error` is the class name that `retry.errors`, `retry.notErrors` and `catch` see: for an exception of
    user code its own class, else the name of ours.
    """

    reason = "StepFailed"

    def __init__(self, message: str = "", *, error: str = "", mro: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.error = error or type(self).__name__
        self.error_names = mro or tuple(c.__name__ for c in type(self).__mro__[:-2])


class StepFailed(StepError):
    """The step's code raised, or its command ended with a code other than 0."""

    retryable = True


class StepTimeout(StepError):
    """The step overran its timeout and was ended, with its children."""

    reason = "StepTimeout"
    retryable = True


class StepUnusable(StepError):
    """The step's module, function or program cannot be loaded; mend the code and resume."""

    reason = "StepUnusable"


class WriteRefused(StepError):
    """A write cannot be stored: not JSON, an undeclared channel, against its schema or its reducer."""

    reason = "WriteRefused"
    retryable = True


class ConflictingWrites(StepError):
    """Two tasks replaced the same channel without seeing each other; use a reducer or an edge."""

    reason = "ConflictingWrites"


class ExpressionFailed(StepError):
    """A CEL expression of the manifest failed on this state."""

    reason = "ExpressionFailed"


class DeadlinePassed(StepError):
    """Nobody answered before the deadline."""

    reason = "DeadlinePassed"


class VisitsExhausted(StepError):
    """A step was entered more often than its `maxVisits` allows; is the loop's condition right?"""

    reason = "VisitsExhausted"


class StoreError(CairnError):
    """The store did not do what it was asked."""

    reason = "StoreError"
    exit_code = EXIT_STORE_UNAVAILABLE


class StoreUnavailable(StoreError):
    """The store did not answer, or cannot write now; the same call may succeed later."""

    reason = "StoreUnavailable"
    retryable = True


class StoreUnusable(StoreError):
    """The store refused for good: rights, file system, or it is not a Cairn store."""

    reason = "StoreUnusable"
    exit_code = EXIT_CONFIG


class StoreLoginRefused(StoreUnusable):
    """The store refuses this user or password; a run that is under way waits until they fit again."""

    reason = "StoreLoginRefused"
    # Passwords are rotated in two places, one after the other: a run must not fail in between.
    retryable = True


class StoreTooNew(StoreError):
    """The store's schema was written by a newer release; use that release or a later one."""

    reason = "RunnerTooOld"
    exit_code = EXIT_CONFIG


class Superseded(StoreError):
    """Another claim holds the run, or its history went on without this writer; nothing was written."""

    reason = "Superseded"
    exit_code = EXIT_SUPERSEDED

    def __init__(self, run_id: str, message: str = "") -> None:
        self.run_id = run_id
        super().__init__(message or f"run {run_id} belongs to a newer claim; this writer stops")


class HistoryConflict(StoreError):
    """A different run or history exists under the same id; nothing was written."""

    reason = "HistoryConflict"
    exit_code = EXIT_FAILED


class WaitClosed(StoreError):
    """Nobody waits for this answer: the wait is closed or not open yet."""

    reason = "WaitClosed"
    exit_code = EXIT_FAILED


class CheckpointTooLarge(StoreError):
    """One checkpoint is over the size bound; write less in one step, or keep large data elsewhere."""

    reason = "CheckpointTooLarge"
    exit_code = EXIT_FAILED


class PayloadError(CairnError):
    """A checkpoint's payload cannot be read."""

    reason = "PayloadError"
    exit_code = EXIT_CONFIG


class CheckpointCorrupted(PayloadError):
    """A checkpoint's bytes are not what was written; an earlier valid one can be used."""

    reason = "CheckpointCorrupted"

    def __init__(self, message: str = "", *, seq: int = 0) -> None:
        super().__init__(message)
        self.seq = seq
        """Seq of the checkpoint, where it is known; else 0."""


class FormatUnknown(PayloadError):
    """A checkpoint was written in a format that this release does not know; use a newer one."""

    reason = "RunnerTooOld"


class KeyMissing(PayloadError):
    """A checkpoint is encrypted with a key that is not in the key ring; add the key."""

    reason = "KeyMissing"


class NotEncrypted(PayloadError):
    """A checkpoint is not encrypted, and the key ring refuses that: encrypt it (cairn store rekey), or look
    into who wrote it.
    """

    reason = "NotEncrypted"


class SpecChanged(CairnError):
    """An unfinished run of this Workflow has another spec."""

    reason = "SpecChanged"
    exit_code = EXIT_USAGE


class ClusterError(CairnError):
    """The cluster refused what was asked; its own words say why."""

    reason = "ClusterError"


class KubectlMissing(ClusterError):
    """There is no kubectl on the PATH; install it, or write spec.resume in the Workflow's manifest."""

    reason = "KubectlMissing"
    exit_code = EXIT_CONFIG


class CairnMissing(ClusterError):
    """This cluster does not know Workflows; install Cairn in it: `docs/howto/run-on-kubernetes.md`."""

    reason = "CairnMissing"
    exit_code = EXIT_CONFIG


class NotAllowed(ClusterError):
    """This user lacks a right in the cluster; the message names it."""

    reason = "NotAllowed"


class ClusterUnavailable(ClusterError):
    """The cluster, or the operator in it, did not answer in time; see whether the operator runs."""

    reason = "ClusterUnavailable"
    retryable = True
    exit_code = EXIT_STORE_UNAVAILABLE


class ResumeRefused(ClusterError):
    """The operator cannot serve this resume; nothing of the Workflow's run was touched."""

    reason = "ResumeRefused"
