"""What happens in a run, as lines that are only ever appended: for pipes, logs and CI; pure.

03:04:05  12  fetch#1[3]  → draft    217 B  f52d6426
03:04:06  Waiting (sign)
"""

from __future__ import annotations

from datetime import datetime

from cairn_runtime.cli.views.rows import next_text, phase_text, task_text
from cairn_runtime.cli.views.texts import pad
from cairn_runtime.cli.views.units import moment, size
from cairn_runtime.model.ids import short_id
from cairn_runtime.store.base import Checkpoint, Run

_TASK_WIDTH = 18


def checkpoint_line(checkpoint: Checkpoint, now: datetime) -> str:
    """One checkpoint: when, seq, the task that ended, what comes next."""
    task, following = pad(task_text(checkpoint), _TASK_WIDTH), pad(next_text(checkpoint.next), _TASK_WIDTH)
    weight = pad(size(checkpoint.size), 8, right=True)
    at, ident = moment(checkpoint.created_at, now), short_id(checkpoint.id)
    return f"{at}  {checkpoint.seq:>5}  {task} → {following} {weight}  {ident}"


def run_line(run: Run, now: datetime) -> str:
    """A change of the run's phase."""
    why = f": {run.message}" if run.message and run.phase != "Succeeded" else ""
    return f"{moment(run.updated_at, now)}  {phase_text(run, now)}{why}"
