"""Who asked for what on a cluster, written into the store before it is done.

Kubernetes does not tell a controller which user changed an object: the line names the object, and the program
that wrote the field (its field manager, such as `kubectl-patch`). The API server's audit log knows the user.
"""

from __future__ import annotations

from cairn_operator.reconcile import facts
from cairn_operator.reconcile.state import Object
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import NewEntry, Store

_MOST = 256


async def note(
    store: Store, who: str, what: str, *, source: str = "", target: str = "", act: str = ""
) -> None:
    """Write that somebody asks for something; the same act again is the same line.

    Raises:
        StoreUnavailable: no answer; what was asked for is not to be done.
    """
    await store.audit(NewEntry(f"{what}:{act}"[:128], who[:_MOST], what, source, target))


def asker(found: Object) -> str:
    """Who asked for the resume of a Workflow: the object, and the program that wrote `spec.resume`."""
    manager = _manager_of_resume(facts.part(found.document, "metadata"))
    return object_name(found) + (f" ({manager})" if manager else "")


def object_name(found: Object) -> str:
    """A Workflow, as the audit names it."""
    return f"kubernetes:{found.namespace}/{found.name}"


def _manager_of_resume(meta: JSONObject) -> str:
    entries = meta.get("managedFields")
    for entry in reversed(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        spec = facts.part(facts.part(entry, "fieldsV1"), "f:spec")
        if "f:resume" in spec:
            return str(entry.get("manager") or "")
    return ""
