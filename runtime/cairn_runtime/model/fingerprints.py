"""What makes two specs the same workflow, in one hash.

A run goes on with a spec of the same hash only; the operator and the command line compute it when they make
the run's row, the runner when it compiles the Workflow.
Pure.
"""

from __future__ import annotations

import hashlib

import orjson

from cairn_runtime.model.workflow import Spec


def graph_hash(spec: Spec) -> str:
    """SHA-256 of what makes two specs the same workflow: steps, state, code, image and input."""
    kept = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"steps", "state", "code", "code_from", "image", "input"},
        exclude_defaults=True,
    )
    return hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)).hexdigest()
