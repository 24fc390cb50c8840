"""Which runs of deleted Workflows go from the store: decided without I/O, and slowly.

There are no finalizers, so nobody tells us that a Workflow was deleted: rows whose uid is absent from two
live lists of all Workflows, ten minutes apart, belong to none. The rows are read before the first list, so
that a Workflow made meanwhile is not among them.
A list that is wrong must cost nothing: only rows of this installation count, only those whose last known
policy is `Delete`, and where a large share of all Workflows seems to be gone, none is removed. The policy of
a Workflow is that of its newest run: nobody writes into the rows of the older ones any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from cairn_runtime.model.values import JSONObject, JSONValue

APART_SECONDS = 600.0
MAX_SHARE = 0.2
FEW = 10
"""So many Workflows may always go: a fifth of three is less than one."""


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


def sweep(
    rows: Iterable[Row], before: AbstractSet[str], now: AbstractSet[str], *, installation: str
) -> Sweep:
    """Choose the runs to delete; `before` and `now` are the uids of two live lists, far enough apart.

    `rows` come newest first. Rows that were kept for good when their Workflow went are no measure of how many
    are gone at once: a store that holds thousands of them would hide a list that is wrong.
    """
    own = [row for row in rows if row.annotations.get("installation") == installation]
    policies: dict[str, JSONValue] = {}
    for row in own:
        policies.setdefault(row.uid, row.annotations.get("deletionPolicy"))
    there = {uid for uid in policies if uid in before or uid in now}
    gone = {uid for uid, policy in policies.items() if policy == "Delete" and uid not in there}
    known = len(there) + len(gone)
    if len(gone) > max(FEW, MAX_SHARE * known):
        return Sweep((), f"{len(gone)} of {known} Workflows look deleted at once; nothing is removed")
    return Sweep(tuple(row.run_id for row in own if row.uid in gone))
