"""Retention: which checkpoints of a run a policy lets go. The one rule for runner, operator and command line.

Pure: headers in, answers out. A walk goes from the newest checkpoint to the oldest and keeps

    - the head
    - of each of the newest `keep_last` ended steps its last checkpoint, if that is younger than `max_age`;
      of a step under way among them too
    - what is pinned, and what a fork holds
    - everything that one of these is folded from: its snapshot, and the deltas up to itself

and nothing else. A checkpoint in the middle of a step (an item, a park, a failed try) stays only where one of
these needs it. So what a policy promises to hold is: the checkpoints that it keeps, and in front of each at
most one stretch from a snapshot on.
A step counts as ended unless its last checkpoint says that it comes next; in doubt it is kept, not counted.

The store has the last word: it judges pins and holds again, in the statement that removes.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from cairn_runtime.model.running import History
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.base import Checkpoint


class Policy(NamedTuple):
    """`checkpoint.history` of a Workflow; both bounds count, the head stays whatever they say."""

    keep_last: int
    """Ended steps that keep their last checkpoint."""
    max_age_seconds: float
    """Age from which a checkpoint goes."""


NOTHING_BUT_THE_HEAD = Policy(0, 0.0)


def policy_of(manifest: JSONObject) -> Policy:
    """Read `spec.checkpoint.history`; where it cannot be read the defaults hold."""
    found: JSONValue = manifest
    for key in ("spec", "checkpoint", "history"):
        found = found.get(key) if isinstance(found, dict) else None
    try:
        history = History.model_validate(found or {})
    except ValidationError:
        history = History()
    return Policy(history.keep_last, history.max_age)


class Entry(NamedTuple):
    """A checkpoint as the rule sees it."""

    seq: int
    kind: str
    step: str
    visit: int
    in_step: bool
    """Whether its own step is among those that come next: it may not have ended."""
    size: int
    created_at: datetime


def entry_of(checkpoint: Checkpoint) -> Entry:
    """Take from a header what the rule needs."""
    return Entry(
        checkpoint.seq,
        checkpoint.kind,
        checkpoint.step,
        checkpoint.visit,
        checkpoint.step in checkpoint.next,
        checkpoint.size,
        checkpoint.created_at,
    )


class Walk:
    """One walk over a run, newest first; ask it about every checkpoint in that order."""

    def __init__(self, policy: Policy, now: datetime, keep: AbstractSet[int] = frozenset()) -> None:
        self._policy = policy
        self._now = now
        self._keep = keep
        """The pinned and the held."""
        self._newest_visit: dict[str, int] = {}
        """By step: the visit that was met first. Older checkpoints of that visit do not end it."""
        self._ended = 0
        self._needed = False
        self._begun = False
        self.oldest_kept: datetime | None = None
        """When the oldest was written that only its age will let go."""

    def goes(self, entry: Entry) -> bool:
        """Tell whether nothing needs this checkpoint."""
        head, self._begun = not self._begun, True
        kept = self._is_kept(entry)
        if kept and not head and (self.oldest_kept is None or entry.created_at < self.oldest_kept):
            self.oldest_kept = entry.created_at
        self._needed = self._needed or kept or head or entry.seq in self._keep
        if not self._needed:
            return True
        if entry.kind == "snapshot":
            self._needed = False
        return False

    def _is_kept(self, entry: Entry) -> bool:
        """Whether this is the last checkpoint of one of the newest steps, and young enough."""
        met = self._newest_visit.get(entry.step)
        if self._ended >= self._policy.keep_last or not entry.step:
            return False
        if met is not None and met <= entry.visit:
            return False
        self._newest_visit[entry.step] = entry.visit
        # Another visit came after it, so it has ended whatever comes next.
        self._ended += met is not None or not entry.in_step
        return (self._now - entry.created_at).total_seconds() < self._policy.max_age_seconds
