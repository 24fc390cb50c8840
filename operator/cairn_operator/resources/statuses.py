"""The status of a Workflow, field by field: what the operator shows of a run.

The definition's schema is made of these models; whoever writes a status stays within their bounds, or the API
server refuses it whole.
A status is a view: everything in it can be made again from the store and the pods, and it never holds a value
of the state.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cairn_runtime.model.fields import Model

MAX_CURRENT_STEPS = 20
MAX_WAITS = 20
MAX_CONDITIONS = 16
MAX_MESSAGE = 4096
"""Characters of a condition's message and of the last error's."""
MAX_WAIT_MESSAGE = 1024
"""Characters of what a person is asked, as the status shows it."""

_Id = Annotated[str, Field(max_length=64)]
_Name = Annotated[str, Field(max_length=253)]
_Reason = Annotated[str, Field(max_length=1024)]


class Condition(Model):
    """One fact about the Workflow, as Kubernetes writes conditions."""

    type: str = Field(
        min_length=1,
        max_length=316,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
        r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        description="The fact: Accepted, Running, Waiting, Suspended, Succeeded, Failed, Degraded,"
        " Reconciling or Stalled.",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int | None = Field(
        default=None,
        ge=0,
        description="Generation of the spec that this was judged by. Null: no spec was looked at.",
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, as a constant word for programs.",
    )
    message: str = Field(max_length=MAX_MESSAGE, description="Why, and what to do about it, for people.")


class Head(Model):
    """The newest checkpoint of the run."""

    seq: int = Field(ge=0, description="Its number within the run, from 1.")
    id: _Id = Field(description="Its id: what `spec.resume.checkpoint` takes.")
    step: str = Field(default="", max_length=45, description="The step that it was written after.")
    time: datetime | None = Field(default=None, description="When it was written. Null: not known.")
    bytes: int | None = Field(
        default=None, ge=0, description="Stored size of its payload in bytes. Null: not known."
    )


class OpenWait(Model):
    """A task that waits, and for what."""

    task: str = Field(max_length=96, description="The task, as `step#visit` or `step#visit[position]`.")
    kind: Literal["approval", "signal", "sleep", "park"] = Field(description="What it waits for.")
    name: str = Field(
        default="",
        max_length=128,
        description="Name under which an answer is sent: the task of an approval, the name of a signal.",
    )
    message: str = Field(
        default="", max_length=MAX_WAIT_MESSAGE, description="What the person is asked, shortened."
    )
    deadline: datetime | None = Field(
        default=None, description="When nobody will be waited for any more. Null: never."
    )
    until: datetime | None = Field(
        default=None, description="When the task is due by itself. Null: only by an answer."
    )


class LastResume(Model):
    """The resume that was served last."""

    nonce: str = Field(max_length=63, description="Its `spec.resume.nonce`.")
    checkpoint: _Id = Field(
        default="",
        description="Id of the checkpoint that the run was forked from; `start`: from the beginning.",
    )
    run: _Id = Field(default="", description="The run that it made.")


class LastError(Model):
    """What went wrong last, in this run or with its pods."""

    reason: _Reason = Field(description="What happened, as a constant word.")
    message: str = Field(default="", max_length=MAX_MESSAGE, description="What happened, in a sentence.")
    step: str = Field(default="", max_length=45, description="The step, where one failed.")
    time: datetime | None = Field(default=None, description="When. Null: not known.")


class WorkflowStatus(Model):
    """What the operator last saw. The conditions are the truth; the rest is for people and for columns."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec that this status is about. Null: none yet."
    )
    phase: (
        Literal["Pending", "Running", "Waiting", "Suspended", "Succeeded", "Failed", "Cancelled"] | None
    ) = Field(
        default=None, description="The run in one word, derived from the conditions. Null: not looked at yet."
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=MAX_CONDITIONS,
        description="Facts by type; `kubectl wait --for=condition=Succeeded` waits for one.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    run: _Id = Field(
        default="",
        description="Id of the current run. As long as there is none, the whole spec may be changed.",
    )
    trace_id: str = Field(
        default="",
        max_length=32,
        description="Id of the run's OpenTelemetry trace, 32 hex digits. There is such a trace where the"
        " runners are told to export it.",
    )
    epoch: int | None = Field(
        default=None, ge=0, description="Epoch of the current run attempt. Null: none was made yet."
    )
    pod: _Name = Field(default="", description="The runner's pod; empty while the run holds none.")
    progress: str = Field(
        default="", max_length=32, description="Steps that are done and steps in all, e.g. `7/12`."
    )
    current_steps: list[Annotated[str, Field(max_length=45)]] = Field(
        default=[],
        max_length=MAX_CURRENT_STEPS,
        description="Steps that are running, ready or parked; the first 20.",
    )
    step: str = Field(
        default="",
        max_length=253,
        description="The current steps as one text, e.g. `draft, count` or `draft +3`, for the column STEP.",
    )
    head: Head | None = Field(default=None, description="The newest checkpoint. Null: there is none yet.")
    waits: list[OpenWait] = Field(
        default=[], max_length=MAX_WAITS, description="Tasks that wait for an answer or a time; the first 20."
    )
    restarts: int | None = Field(
        default=None, ge=0, description="How often a crashed runner was started again. Null: no run yet."
    )
    last_resume: LastResume | None = Field(
        default=None, description="The resume that was served last. Null: none was."
    )
    last_error: LastError | None = Field(
        default=None, description="What went wrong last; it stays when the run goes on. Null: nothing did."
    )
