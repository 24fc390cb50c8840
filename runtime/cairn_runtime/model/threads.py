"""Threads: names under which the runs of one Workflow are told apart, such as one for each of its users.

A thread is named when a run is asked for, or by the label `cairn.dev/thread` of the Workflow; a run without
either belongs to its Workflow's own thread, whose name in a store is the Workflow's key.
What may name a thread is what may be a label's value: so every thread can be named on a cluster too, and none
looks like a Workflow's key, which has slashes.
Pure.
"""

from __future__ import annotations

import re

from cairn_runtime.model.values import JSONObject

THREAD_LABEL = "cairn.dev/thread"
RULE = "is no name of a thread: at most 63 letters, digits, '-', '_' and '.', at both ends a letter or digit"
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def is_thread(name: str) -> bool:
    """Whether this may name a thread."""
    return _NAME.fullmatch(name) is not None


def labelled_thread(document: JSONObject) -> str:
    """The thread that a Workflow's label names; empty where it names none."""
    metadata = document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    name = labels.get(THREAD_LABEL) if isinstance(labels, dict) else None
    return name if isinstance(name, str) else ""
