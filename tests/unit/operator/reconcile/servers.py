"""An API server in memory, with a kubelet that runs real runners: what whole passes are tried on.

It keeps what the real one keeps that matters here: names are taken once, versions grow with each write, a
write of an older version is refused, deletions are by uid, a merge takes null for "take away". Every write is
counted by what it does.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

from cairn_operator.cluster.errors import ApiConflict, ApiError, ApiGone, NameTaken
from cairn_operator.reconcile.workqueue import Key
from cairn_runtime.model.ids import to_wire, utc_now
from cairn_runtime.runner.attempts import Attempt
from cairn_runtime.store.base import Fence, Store

Document = dict[str, Any]


class Server:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Document] = {}
        self.writes: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.statuses: list[Document] = []
        """Every status that was written, in order."""
        self.ring: Callable[[str, Document, str], None] = lambda _kind, _document, _happened: None
        """Who watches: kind, object, what happened."""
        self.refuse: dict[str, ApiError] = {}
        """What the next creation of a kind is answered with."""
        self._version = 0

    def put(self, kind: str, namespace: str, name: str, /, **fields: Any) -> Document:
        """Make or change an object as a person does."""
        key, happened = (kind, namespace, name), "MODIFIED"
        if key not in self.objects:
            happened = "ADDED"
            self._version += 1
            meta: Document = {"name": name, "namespace": namespace, "uid": str(uuid4()), "generation": 0}
            meta["creationTimestamp"] = to_wire(utc_now())
            self.objects[key] = {"kind": kind, "metadata": meta}
        found = self.objects[key]
        meta = {**found["metadata"], **fields.pop("metadata", {})}
        meta["generation"] += "spec" in fields
        found |= {**copy.deepcopy(fields), "metadata": meta}
        self._changed(kind, found, happened)
        return found

    def pop(self, kind: str, namespace: str, name: str) -> None:
        """Take an object away as a person does."""
        self._changed(kind, self.objects.pop((kind, namespace, name)), "DELETED")

    def all(self, kind: str) -> list[Document]:
        """Every object of a kind."""
        return [found for (one, _, _), found in self.objects.items() if one == kind]

    def _changed(self, kind: str, found: Document, happened: str) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self.ring(kind, copy.deepcopy(found), happened)

    # -- what the operator asks ----------------------------------------------

    async def read(self, kind: str, namespace: str, name: str) -> Any:
        self.reads[kind] += 1
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def workflow(self, namespace: str, name: str) -> Any:
        return await self.read("Workflow", namespace, name)

    async def checkpoint(self, namespace: str, name: str) -> Any:
        return await self.read("Checkpoint", namespace, name)

    async def config_map(self, namespace: str, name: str) -> Any:
        return await self.read("ConfigMap", namespace, name)

    async def listed(
        self, kind: str, namespace: str, selector: str = "", *, whole: bool = True
    ) -> AsyncIterator[Any]:
        for found in self.all(kind):
            yield copy.deepcopy(found)

    async def pods(self, namespace: str, selector: str) -> list[Any]:
        return self._listed("Pod", namespace, selector)

    async def checkpoints(self, namespace: str, selector: str) -> list[Any]:
        return self._listed("Checkpoint", namespace, selector)

    def _listed(self, kind: str, namespace: str, selector: str) -> list[Any]:
        self.reads[f"{kind}s"] += 1
        label, _, value = selector.partition("=")
        return [
            copy.deepcopy(found)
            for (one, place, _), found in self.objects.items()
            if (one, place) == (kind, namespace) and found["metadata"].get("labels", {}).get(label) == value
        ]

    async def create(self, manifest: Any) -> Any:
        kind, meta = manifest["kind"], manifest["metadata"]
        key = (kind, meta["namespace"], meta["name"])
        if kind in self.refuse:
            raise self.refuse.pop(kind)
        if key in self.objects:
            raise NameTaken
        self.writes[f"create {kind}"] += 1
        return self.put(*key, **copy.deepcopy(manifest))

    async def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        grace_seconds: int | None = None,
        *,
        resource_version: str = "",
    ) -> None:
        found = self.objects.get((kind, namespace, name))
        if found is None or found["metadata"]["uid"] != uid:
            return
        if resource_version not in ("", found["metadata"]["resourceVersion"]):
            raise ApiConflict
        self.writes[f"delete {kind}"] += 1
        self.pop(kind, namespace, name)

    async def annotate(
        self, kind: str, namespace: str, name: str, resource_version: str, changes: Mapping[str, str | None]
    ) -> None:
        found = self._unchanged(kind, namespace, name, resource_version)
        self.writes[f"annotate {kind}"] += 1
        notes = {**found["metadata"].get("annotations", {}), **changes}
        kept = {key: value for key, value in notes.items() if value is not None}
        self.put(kind, namespace, name, metadata={"annotations": kept})

    async def apply_status(self, namespace: str, name: str, resource_version: str, status: Any) -> None:
        self._unchanged("Workflow", namespace, name, resource_version)
        self.writes["status"] += 1
        self.statuses.append(copy.deepcopy(status))
        self.put("Workflow", namespace, name, status=status)

    def _unchanged(self, kind: str, namespace: str, name: str, resource_version: str) -> Document:
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise ApiGone
        if found["metadata"]["resourceVersion"] != resource_version:
            raise ApiConflict
        return found


class Kubelet:
    """Runs the runner of each pod that is made, in this process."""

    def __init__(self, server: Server, store: Store) -> None:
        self._server = server
        self._store = store
        self.attempts: dict[str, asyncio.Task[None]] = {}

    def see(self, pod: Document) -> None:
        """Start a pod's container."""
        name = pod["metadata"]["name"]
        if name not in self.attempts:
            self.attempts[name] = asyncio.create_task(self._run(pod))

    async def _run(self, pod: Document) -> None:
        key = ("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        given = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        self._tell(key, "Running", {"running": {"startedAt": to_wire(utc_now())}})
        fence = Fence(int(given["CAIRN_EPOCH"]), given["CAIRN_CLAIM"])
        attempt = Attempt(self._store, given["CAIRN_RUN_ID"], fence)
        ending = await attempt.run()
        await attempt.tell_metrics()
        word = f'{{"run": "{given["CAIRN_RUN_ID"]}", "reason": "{ending.reason}", "message": ""}}'
        over = {"exitCode": 0, "reason": "Completed", "message": word, "finishedAt": to_wire(utc_now())}
        self._tell(key, "Succeeded", {"terminated": over})

    def _tell(self, key: tuple[str, str, str], phase: str, state: Document) -> None:
        if key in self._server.objects:
            told = {"phase": phase, "containerStatuses": [{"name": "runner", "state": state}]}
            self._server.put(*key, status=told)


def key_of(document: Document) -> Key:
    """The Workflow that an object belongs to."""
    meta = document["metadata"]
    return Key(meta["namespace"], meta.get("labels", {}).get("cairn.dev/workflow", meta["name"]))
