"""Read all that one pass is decided from: the object, its pods, the run's row, each once and live.

Nothing is taken from a cache: a pod that was made a moment ago is in the list, so a pass never makes a
second one.
A store that does not answer is a fact, not an exception: the status says so, and nothing else is touched.
Only headers of checkpoints are read, never a payload.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from cairn_operator.names import WORKFLOW_LABEL
from cairn_operator.reconcile import facts
from cairn_operator.reconcile.judging import TOO_LONG, Reports, judged
from cairn_operator.reconcile.lean import lean, size_of
from cairn_operator.reconcile.state import Object, Origin, World
from cairn_runtime.errors import CairnError, CheckpointNotFound, Fault, StoreUnavailable
from cairn_runtime.model.ids import run_id_for, utc_now
from cairn_runtime.model.validation import Report
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.store.base import Checkpoint, Run, Signal, Store

log = logging.getLogger("cairn.observe")

_KEPT = ("name", "namespace", "uid", "labels", "annotations")
"""What of an object's metadata goes into a run's row."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own copy of the whole object."""
_DEAR = 10_000
"""Specs of which it is kept that they took too long."""
_LONG_SECONDS = 0.5
_Key: TypeAlias = tuple[str, int, int, int]
"""Uid, generation, metadata, code that was copied."""
_STORE_UNKNOWN = "StoreUnknown"
_STORE_FORBIDDEN = "StoreForbidden"
_OBJECT_NAME = re.compile(r"^[a-z0-9][-a-z0-9.]{0,252}\Z")
"""What may stand in a request's path."""


class Reader(Protocol):
    """What observing asks of the API server."""

    async def workflow(self, namespace: str, name: str) -> JSONObject | None:
        """Read a Workflow, live; None: there is none."""
        ...

    async def pods(self, namespace: str, selector: str) -> list[JSONObject]:
        """List pods by label, live."""
        ...

    async def checkpoint(self, namespace: str, name: str) -> JSONObject | None:
        """Read a Checkpoint object, live; None: there is none."""
        ...

    async def config_map(self, namespace: str, name: str) -> JSONObject | None:
        """Read a ConfigMap, live; None: there is none."""
        ...


class Outages(Protocol):
    """What is known of stores that do not answer, so that not every pass waits for them."""

    def outage(self, store: str) -> CairnError | None:
        """What it said when it was asked last; None: it answered."""
        ...

    def lost(self, store: str, error: CairnError) -> None:
        """It did not answer this time."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Observes Workflows of one cluster with its stores."""

    reader: Reader
    stores: Mapping[str, Store]
    installation: str
    outages: Outages | None = None
    allows: Callable[[str, str], bool] = lambda _store, _namespace: True
    """Whether Workflows of a namespace may name a store."""
    _reports: Reports = field(default_factory=Reports)
    _dear: dict[_Key, Report] = field(default_factory=dict)
    """Of those that took too long: never twice, however many others come."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def observe(self, namespace: str, name: str) -> World | None:
        """Read the world around one Workflow; None: it is gone, or about to be."""
        document = await self.reader.workflow(namespace, name)
        now = utc_now()
        if document is None or "deletionTimestamp" in facts.part(document, "metadata"):
            return None
        document, excess = lean(document)
        found = facts.workflow_object(document, now)
        world = World(now, found, None)
        world = replace(world, faults=(excess,)) if excess else await self._with_spec(world, found)
        world = replace(
            world,
            pods=tuple(
                facts.pod_facts(pod, now)
                for pod in await self.reader.pods(namespace, f"{WORKFLOW_LABEL}={name}")
                if facts.is_owned(pod, found.uid)
            ),
        )
        return await self._with_rows(world)

    # -- the spec ----------------------------------------------

    async def _with_spec(self, world: World, found: Object) -> World:
        accepted = _kept(found)
        report = await self._judged(found, accepted)
        if report.workflow is None:
            return replace(world, faults=report.faults)
        return replace(
            world, manifest=report.workflow, accepted=accepted, wanted=_wanted(found.uid, report.workflow)
        )

    async def _with_code(self, world: World, source: str) -> World:
        """Copy the code of `codeFrom`: only for a run that is still to be made, which keeps it for ever."""
        found, accepted = world.workflow, world.accepted or {}
        data = None
        if _OBJECT_NAME.match(source):
            data = await self.reader.config_map(found.namespace, source)
        if data is None:
            text = f'there is no ConfigMap "{source}" in {found.namespace}'
            return replace(world, accepted=None, faults=(Fault("spec.codeFrom.configMap", text),))
        spec = {key: value for key, value in facts.part(accepted, "spec").items() if key != "codeFrom"}
        accepted = {**accepted, "spec": {**spec, "code": facts.part(data, "data")}}
        report = await self._judged(found, accepted)
        if report.workflow is None:
            return replace(world, accepted=None, faults=report.faults)
        return replace(world, manifest=report.workflow, accepted=accepted)

    async def _judged(self, found: Object, accepted: JSONObject) -> Report:
        """Judge a spec once for each of its generations: a large graph takes some tens of milliseconds.

        Labels and annotations are judged too, and change without a new generation.
        """
        spec = facts.part(accepted, "spec")
        copied = "code" in spec and "code" not in facts.part(found.document, "spec")
        code = hash(tuple(facts.part(spec, "code").items())) if copied else 0
        key = found.uid, found.generation, hash(repr(accepted.get("metadata"))), code
        if (long := self._dear.get(key)) is not None:
            return long
        if (known := self._reports.get(key)) is not None:
            return known
        report = await self._in_turn(found, accepted, limited=not copied)
        self._reports.put(key, report, size_of(spec))
        if any(fault.message == TOO_LONG for fault in report.faults):
            self._dear[key] = report
            if len(self._dear) > _DEAR:
                del self._dear[next(iter(self._dear))]
        return report

    async def _in_turn(self, found: Object, accepted: JSONObject, *, limited: bool) -> Report:
        """Judge one at a time; who took long lets the others have as long, the Lease's renewal too."""
        async with self._turn:
            begin = time.monotonic()
            report = judged(accepted, limited=limited)
            took = time.monotonic() - begin
            if took > _LONG_SECONDS:
                log.warning("spec took long to be judged", extra={"workflow": found.key, "seconds": took})
                await asyncio.sleep(took)
        return report

    # -- the store ----------------------------------------------

    async def _with_rows(self, world: World) -> World:
        name = facts.text(facts.part(world.workflow.document, "spec"), "store") or "default"
        world = replace(world, store=name)
        store, namespace = self.stores.get(name), world.workflow.namespace
        if store is None or not self.allows(name, namespace):
            known = ", ".join(sorted(one for one in self.stores if self.allows(one, namespace))) or "none"
            reason, text = _STORE_UNKNOWN, f'spec.store: there is no store "{name}" in this installation'
            if store is not None:
                reason, text = _STORE_FORBIDDEN, f'spec.store: store "{name}" is not for this namespace'
            return replace(world, store_error=(reason, f"{text}; there is {known}"))
        known_outage = self.outages.outage(name) if self.outages is not None else None
        if known_outage is not None:
            return replace(world, store_error=(known_outage.reason, known_outage.message))
        try:
            return await self._read_rows(world, store)
        except CairnError as error:
            if not isinstance(error, StoreUnavailable):
                log.warning("store could not be read", extra={"store": name, "reason": error.reason})
            elif self.outages is not None:
                self.outages.lost(name, error)
            return replace(world, store_error=(error.reason, error.message))

    async def _read_rows(self, world: World, store: Store) -> World:
        key = world.workflow.key
        newest = await store.runs(workflow=key, limit=1)
        run = newest[0] if newest else None
        served = world.wanted in await store.heads([world.wanted]) if world.wanted else False
        if run is not None and world.manifest is not None and world.manifest.spec.resume is None:
            # Only a nonce asks for another run: who takes `resume` away asks for nothing.
            served = True
        signals: list[Signal] = []
        if run is not None and run.phase == "Waiting" and run.signals_pending:
            signals = await store.signals(run.run_id)
        origin = None
        if (asked := world.manifest) is not None and not served:
            if asked.spec.code_from is not None:
                world = await self._with_code(world, asked.spec.code_from.config_map)
            origin = await self._origin(world, asked, store, run)
        return replace(
            world,
            served=served,
            run=run,
            head=await _head(store, run),
            signals=tuple(signals),
            origin=origin,
        )

    async def _origin(self, world: World, manifest: Workflow, store: Store, run: Run | None) -> Origin | None:
        """Look up what a resume asks for; None where it asks for none."""
        resume = manifest.spec.resume
        if resume is None or resume.checkpoint == "start":
            return None
        try:
            if resume.checkpoint == "latest":
                return await self._latest(store, run)
            asked = resume.checkpoint
            shown = None
            if _OBJECT_NAME.match(asked):
                shown = await self.reader.checkpoint(world.workflow.namespace, asked)
            identity = facts.text(facts.part(shown, "spec"), "id") if shown is not None else asked
            row = await _header(store, identity)
            return self._usable(world, row, await store.run(row.run_id))
        except CheckpointNotFound:
            text = f'spec.resume.checkpoint: there is no checkpoint "{resume.checkpoint}" in this store'
            return Origin(reason="CheckpointNotFound", message=f"{text}; see: kubectl get checkpoints")

    async def _latest(self, store: Store, run: Run | None) -> Origin:
        row = await _head(store, run)
        if run is None or row is None:
            text = "spec.resume.checkpoint: there is no checkpoint yet to go on from; write start"
            return Origin(reason="CheckpointNotFound", message=text)
        return Origin(row, run)

    def _usable(self, world: World, row: Checkpoint, run: Run) -> Origin:
        """An origin must be of the same namespace and installation: a store may serve several."""
        namespace = run.workflow.partition("/")[0]
        if namespace != world.workflow.namespace or run.annotations.get("installation") != self.installation:
            text = f"spec.resume.checkpoint: {row.id} belongs to another namespace or installation"
            return Origin(reason="OriginForeign", message=text)
        return Origin(row, run)


def _kept(found: Object) -> JSONObject:
    """The document for a run's row: the object without what the cluster added."""
    meta = facts.part(found.document, "metadata")
    notes = {k: v for k, v in facts.part(meta, "annotations").items() if k != _LAST_APPLIED}
    kept = {name: value for name, value in meta.items() if name in _KEPT} | {"annotations": notes}
    document: JSONObject = {
        **found.document,
        "metadata": {name: value for name, value in kept.items() if value},
    }
    document.pop("status", None)
    return document


async def _head(store: Store, run: Run | None) -> Checkpoint | None:
    if run is None or not run.head_seq:
        return None
    rows = await store.checkpoints(run.run_id, before=run.head_seq + 1, limit=1)
    return rows[0] if rows else None


async def _header(store: Store, identity: str) -> Checkpoint:
    """Find a checkpoint's header by its whole id. Raises `CheckpointNotFound`."""
    found = [row for row in await store.find_checkpoints(identity) if row.id == identity]
    if not found:
        raise CheckpointNotFound(identity)
    return found[0]


def _wanted(uid: str, manifest: Workflow) -> str:
    resume = manifest.spec.resume
    return run_id_for(uid, resume.nonce if resume is not None else "")
