"""Which runs of deleted Workflows go from the store: decided without I/O, and slowly.

There are no finalizers, so nobody tells us that a Workflow was deleted: rows whose uid is absent from two
live lists of all Workflows, ten minutes apart, belong to none. The rows are read before the first list, so
that a Workflow made meanwhile is not among them.
A list that is wrong must cost nothing: only rows of this installation count, only those whose last known
policy is `Delete`; where more than a fifth of all Workflows seems to be gone at once, none goes but those
that every list has missed for a whole day; and a list without any Workflow at all is never believed.
The policy of a Workflow is that of its newest run: nobody writes into the rows of the older ones any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from cairn_runtime.model.values import JSONObject, JSONValue

APART_SECONDS = 600.0
MAX_SHARE = 0.2
PATIENCE_SECONDS = 86400.0
"""How long every list must have missed a Workflow that goes in spite of the share."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the sweep knows of a run."""

    run_id: str
    uid: str
    annotations: JSONObject


@dataclass(frozen=True, slots=True)
class Sweep:
    """What goes, or why nothing does."""

    delete: tuple[str, ...] = ()
    refused: str = ""
    absent: frozenset[str] = frozenset()
    """Uids of all that look deleted and were to be."""


def sweep(
    rows: Iterable[Row],
    before: AbstractSet[str],
    now: AbstractSet[str],
    *,
    installation: str,
    long_gone: AbstractSet[str] = frozenset(),
) -> Sweep:
    """Choose the runs to delete; `before` and `now` are the uids of two live lists, far enough apart.

    `rows` come newest first. Rows that were kept for good when their Workflow went are no measure of how many
    are gone at once: a store that holds thousands of them would hide a list that is wrong.
    `long_gone` are the uids that every list has missed for long.
    """
    own = [row for row in rows if row.annotations.get("installation") == installation]
    policies: dict[str, JSONValue] = {}
    for row in own:
        policies.setdefault(row.uid, row.annotations.get("deletionPolicy"))
    there = {uid for uid in policies if uid in before or uid in now}
    gone = frozenset(uid for uid, policy in policies.items() if policy == "Delete" and uid not in there)
    if gone and not (before and now):
        return Sweep((), "no Workflow at all is listed, which is more likely an error; nothing is removed")
    known = len(there) + len(gone)
    going, refused = gone, ""
    if len(gone) > MAX_SHARE * known:
        going = gone & long_gone
        refused = f"{len(gone)} of {known} Workflows look deleted at once; only those long gone are removed"
    delete = tuple(row.run_id for row in own if row.uid in going)
    return Sweep(delete, refused if going != gone else "", gone)
