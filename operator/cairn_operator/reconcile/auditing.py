"""Who asked for what on a cluster, for the store's audit.

Kubernetes does not tell a controller which user changed an object: the line names the Workflow, and the
program that wrote the field (its field manager, such as `kubectl-patch`). The user is in the audit log of the
API server.
Pure: no I/O.
"""

from __future__ import annotations

from cairn_operator.reconcile import facts
from cairn_operator.reconcile.state import Note, Object
from cairn_runtime.store.audits import new_entry
from cairn_runtime.store.base import NewEntry


def entry_of(found: Object, note: Note) -> NewEntry:
    """The line of what is asked for in a Workflow."""
    who = asker(found, facts.manager_of(found.document, *note.field))
    return new_entry(who, note.what, note.act, source=note.source, target=note.target)


def asker(found: Object, manager: str) -> str:
    """Who asked: the Workflow, and the program that wrote the field, where that is known."""
    name = f"kubernetes:{found.namespace}/{found.name}"
    return f"{name} ({manager})" if manager else name
