"""Builders with defaults: Workflows, rows, pods and the worlds made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from cairn_operator.names import CANCEL_ANNOTATION
from cairn_operator.reconcile.decide import Keeping, decide
from cairn_operator.reconcile.state import Ended, Object, Plan, PodFacts, World
from cairn_runtime.errors import Fault
from cairn_runtime.model.ids import run_id_for
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Run, Signal, Wait

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "6f1c9d0e-52a4-4b7e-9d6b-0c3a1f7e4d21"
KEY = f"team/digest/{UID}"
RUN = run_id_for(UID)
KEEPING = Keeping("home")
CHAIN = ({"name": "a", "run": "true"}, {"name": "b", "run": "true", "needs": ["a"]})
FAULT = Fault("spec.steps[1].needs[0]", 'unknown step "x"')


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def document(**spec: Any) -> dict[str, Any]:
    """A Workflow as the API server has it."""
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "digest", "namespace": "team", "uid": UID},
        "spec": {"steps": list(CHAIN), **spec},
    }


def annotated(workflow: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The Workflow after somebody has asked that a run end."""
    return {**workflow, "metadata": {**workflow["metadata"], "annotations": {CANCEL_ANNOTATION: run_id}}}


def manifest(**spec: Any) -> Workflow:
    """The same, read."""
    return _read(orjson.dumps(document(**spec)))


@cache
def _read(text: bytes) -> Workflow:
    return Workflow.model_validate(orjson.loads(text))


def obj(status: dict[str, Any] | None = None, **spec: Any) -> Object:
    """The object around a spec."""
    return Object("team", "digest", UID, "7", 3, ago(900), document(**spec), status or {})


def run(**changes: Any) -> Run:
    """The row of a run that nobody has started."""
    fields: dict[str, Any] = {
        "run_id": RUN,
        "workflow": KEY,
        "thread": KEY,
        "manifest": document(),
        "graph_hash": "g",
        "key_base": RUN,
        "folder": None,
        "origin": None,
        "trace_id": "",
        "spec_version": 1,
        "epoch": 0,
        "claim_id": "",
        "head_seq": 0,
        "head_id": "",
        "head_hash": "",
        "phase": "Pending",
        "reason": "",
        "message": "",
        "waits": (),
        "wake_at": None,
        "checkpoints": 0,
        "bytes": 0,
        "signals_pending": 0,
        "created_at": ago(600),
        "updated_at": ago(60),
        "heartbeat_at": None,
        "runner": "",
        "annotations": {"installation": "home", "deletionPolicy": "Retain"},
    }
    return Run(**{**fields, **changes})


def started(**changes: Any) -> Run:
    """The row of a run in its first epoch."""
    return run(**{"epoch": 1, "claim_id": "c1", "phase": "Running", **changes})


def noted(row: Run, **note: Any) -> Run:
    """The row with the operator's note about its attempts."""
    fields = {
        "epoch": row.epoch,
        "headSeq": row.head_seq,
        "restarts": 0,
        "total": 0,
        "disruptions": 0,
        "cause": "RunnerCrashed",
        "message": "",
        "at": ago(0).isoformat(),
        **note,
    }
    return run_with(row, annotations={**row.annotations, "attempts": fields})


def held(row: Run, number: int = 1) -> Run:
    """The row with the operator's note that a pause was asked for."""
    return run_with(row, annotations={**row.annotations, "pauses": {"number": number, "on": True}})


def run_with(row: Run, **changes: Any) -> Run:
    """The row, changed."""
    values = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    return Run(**{**values, **changes})


def parked(**changes: Any) -> Run:
    """The row of a run that waits for an approval, its runner gone."""
    fields: dict[str, Any] = {
        "phase": "Waiting",
        "head_seq": 2,
        "head_id": "cp-2",
        "waits": (Wait("sign#1", "approval", "sign#1", "Publish?"),),
    }
    return started(**{**fields, **changes})


def pod(**changes: Any) -> PodFacts:
    """The pod of the first epoch, alive for a minute."""
    fields: dict[str, Any] = {
        "name": f"digest-{RUN[-8:]}-1",
        "uid": "pod-1",
        "run_id": RUN,
        "epoch": 1,
        "phase": "Running",
        "created_at": ago(61),
        "running_since": ago(60),
    }
    return PodFacts(**{**fields, **changes})


def word(reason: str = "", message: str = "", **more: Any) -> str:
    """A runner's last word."""
    return orjson.dumps({"run": RUN, "epoch": 1, "reason": reason, "message": message, **more}).decode()


def ended(code: int, message: str = "", reason: str = "Error", **changes: Any) -> PodFacts:
    """The same pod, its process over for ten seconds."""
    phase = "Succeeded" if code == 0 else "Failed"
    facts = {"running_since": None, "ended": Ended(code, reason, message), "ended_at": ago(10)}
    return pod(**{"phase": phase, **facts, **changes})


def checkpoint(seq: int = 1, **changes: Any) -> Checkpoint:
    """A header."""
    fields: dict[str, Any] = {
        "run_id": RUN,
        "seq": seq,
        "id": f"cp-{seq}",
        "parent_hash": GENESIS_HASH,
        "hash": f"{seq:064x}",
        "epoch": 1,
        "write_id": f"w{seq}",
        "kind": "delta",
        "step": "a",
        "visit": 1,
        "item": None,
        "next": ("b",),
        "metadata": {},
        "created_at": ago(100 - seq),
        "format_version": 1,
        "graph_hash": "g",
        "digest": "d",
        "size": 312,
        "payload": None,
    }
    return Checkpoint(**{**fields, **changes})


def signal(**changes: Any) -> Signal:
    """An answer to the approval of a parked run."""
    fields: dict[str, Any] = {
        "run_id": RUN,
        "number": 1,
        "name": "",
        "value": True,
        "client_id": "me",
        "wait": "sign#1",
        "created_at": ago(1),
    }
    return Signal(**{**fields, **changes})


def world(spec: dict[str, Any] | None = None, **changes: Any) -> World:
    """A world with an accepted Workflow; `run` given: it is the one that the spec asks for."""
    asked = spec or {}
    read = manifest(**asked)
    nonce = read.spec.resume.nonce if read.spec.resume is not None else ""
    fields: dict[str, Any] = {
        "now": NOW,
        "workflow": obj(**asked),
        "manifest": read,
        "accepted": document(**asked),
        "wanted": run_id_for(UID, nonce),
        "served": changes.get("run") is not None,
    }
    return World(**{**fields, **changes})


def broken(spec: dict[str, Any] | None = None, **changes: Any) -> World:
    """A world whose spec has a fault."""
    fields = {"manifest": None, "accepted": None, "wanted": "", "served": False, "faults": (FAULT,)}
    return world(spec, **{**fields, **changes})


def plan(seen: World) -> Plan:
    """What is decided."""
    return decide(seen, KEEPING)
