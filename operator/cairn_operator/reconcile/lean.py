"""What of a Workflow is carried through a pass: not more than one that can be run needs.

The API server takes objects of more than a megabyte, each of which becomes thirty in memory, and passes over
many Workflows are under way at once. So what is over the bounds of a spec goes as soon as it was read, before
anything is awaited: of a crowd of such Workflows one at a time is in memory.
Pure.
"""

from __future__ import annotations

import json

import orjson

from cairn_operator.reconcile import facts
from cairn_runtime.errors import Fault
from cairn_runtime.model.checks.settings import MAX_SPEC_BYTES, too_large
from cairn_runtime.model.values import JSONObject, JSONValue


def lean(document: JSONObject) -> tuple[JSONObject, Fault | None]:
    """Leave out of a Workflow what is too large to be run, and say so; else it stays as it is.

    Of a spec that is too large what is a word or a number stays, such as the store's name. Where managed
    fields take more than a spec may, nobody is known to have written anything.
    """
    meta, spec = facts.part(document, "metadata"), facts.part(document, "spec")
    if size_of(meta.get("managedFields")) > MAX_SPEC_BYTES:
        document = {**document, "metadata": {name: meta[name] for name in meta if name != "managedFields"}}
    size = size_of(spec)
    if size <= MAX_SPEC_BYTES:
        return document, None
    kept: JSONObject = {name: value for name, value in spec.items() if not isinstance(value, dict | list)}
    return {**document, "spec": kept}, too_large(size)


def size_of(value: JSONValue) -> int:
    """How many bytes a value takes as JSON."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return len(json.dumps(value))  # nested deeper than orjson writes
