"""The Checkpoint, field by field: a view of one checkpoint of a run, for kubectl.

It never holds a value of the state, and nothing depends on it: deleting one harms no run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cairn_runtime.model.fields import Model

MAX_NEXT = 20

_StepText = Annotated[str, Field(max_length=45)]


class CheckpointSpec(Model):
    """One checkpoint of a run. It is written once and never changed, as the checkpoint in the store is."""

    workflow: str = Field(max_length=45, description="Name of the Workflow, in the same namespace.")
    run: str = Field(max_length=64, description="Id of the run.")
    run_text: str = Field(
        default="", max_length=16, description="The last 8 characters of the same, for the column RUN."
    )
    seq: int = Field(ge=1, description="Its number within the run, from 1.")
    id: str = Field(
        min_length=1,
        max_length=64,
        description="Its id: what `spec.resume.checkpoint` of a Workflow takes; it takes this object's name"
        " too.",
    )
    step: _StepText = Field(
        default="", description="The step that it was written after; empty at the start of a run."
    )
    visit: int | None = Field(
        default=None, ge=0, description="Which visit of the step it was, from 1. Null: of no step."
    )
    item: int | None = Field(
        default=None, ge=0, description="Position of the item in a foreach, from 0. Null: not in a foreach."
    )
    next: list[_StepText] = Field(
        default=[],
        max_length=MAX_NEXT,
        description="What the run would do next from here; the first 20 steps.",
    )
    next_text: str = Field(
        default="",
        max_length=253,
        description="The same as one text, e.g. `draft, count` or `draft +3`, for the column NEXT.",
    )
    bytes: int = Field(default=0, ge=0, description="Stored size of its payload in bytes.")
    size: str = Field(default="", max_length=32, description="The same for people, e.g. `1.2 KiB`.")
    hash: str = Field(
        default="",
        max_length=64,
        description="SHA-256 over this checkpoint and the hash of the one before; `cairn verify` checks the"
        " chain.",
    )
    parent: str = Field(
        default="",
        max_length=64,
        description="Hash of the checkpoint before; all zeros at the start of a run.",
    )
    created_at: datetime = Field(description="When it was written, by the runner's clock.")
    epoch: int | None = Field(
        default=None, ge=0, description="Epoch of the run attempt that wrote it. Null: not known."
    )
    kind: Literal["delta", "snapshot"] | None = Field(
        default=None,
        description="Whether it holds what has changed (`delta`) or the whole state (`snapshot`). Null: not"
        " known.",
    )
