"""Requests to the API server: plain JSON objects in and out, live reads, paged lists, one time-out for all.

It stands on the generated client's transport only (addresses, certificates, tokens and their renewal): its
models would be built and thrown away for every pod of every list.
A request that got no answer may have been carried out; all that Cairn sends is safe to send again.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Self, cast
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes.aio import config as configurations
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException

from cairn_operator.cluster.errors import ApiGone, ApiRefused, ApiUnavailable, ApiUnreadable, error_of
from cairn_operator.names import (
    API_VERSION,
    CHECKPOINT_KIND,
    CHECKPOINT_PLURAL,
    METADATA_LIST,
    WORKFLOW_KIND,
    WORKFLOW_PLURAL,
)
from cairn_runtime.model.values import JSONObject, JSONValue

log = logging.getLogger("cairn.cluster")

FIELD_MANAGER = "cairn-operator"
REQUEST_SECONDS = 20.0
_PAGE = 100
"""Objects of one page; of Workflows, which may weigh more than a megabyte, metadata alone."""
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml; charset=utf-8"
"""The parameter keeps the client from writing the body itself, in JSON that is not YAML: see `yaml_text`."""
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_OK = 300
_FORBIDDEN = "Forbidden"
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


class _Kind(NamedTuple):
    api_version: str
    plural: str


_KINDS: Mapping[str, _Kind] = {
    WORKFLOW_KIND: _Kind(API_VERSION, WORKFLOW_PLURAL),
    CHECKPOINT_KIND: _Kind(API_VERSION, CHECKPOINT_PLURAL),
    "Pod": _Kind("v1", "pods"),
    "ConfigMap": _Kind("v1", "configmaps"),
    "Event": _Kind("events.k8s.io/v1", "events"),
    "Lease": _Kind("coordination.k8s.io/v1", "leases"),
}


class Cluster:
    """One API server."""

    def __init__(self, api: ApiClient) -> None:
        self._api: Any = api  # its methods have no types
        self.writes: Counter[tuple[str, str]] = Counter()
        """Writes that were sent, by kind and verb; answered or not."""

    @classmethod
    async def connect(cls) -> Self:
        """Use the service account of this pod, else the kubeconfig of this user.

        Raises:
            ApiUnavailable: there is neither, or it cannot be used.
        """
        settings, config = Configuration(), cast("Any", configurations)
        try:
            if _IN_CLUSTER in os.environ:
                config.load_incluster_config(client_configuration=settings)
            else:
                await config.load_kube_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise ApiUnavailable(f"no way to an API server: {error}") from None
        settings.retries = None
        return cls(ApiClient(configuration=settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    # -- reading ----------------------------------------------

    async def read(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        """Read an object; None: there is none. Raises `ApiUnavailable`, `ApiRefused`."""
        try:
            return await self._ask("GET", _path(kind, namespace, name))
        except ApiGone:
            return None

    async def workflow(self, namespace: str, name: str) -> JSONObject | None:
        """Read a Workflow."""
        return await self.read(WORKFLOW_KIND, namespace, name)

    async def checkpoint(self, namespace: str, name: str) -> JSONObject | None:
        """Read a Checkpoint."""
        return await self.read(CHECKPOINT_KIND, namespace, name)

    async def config_map(self, namespace: str, name: str) -> JSONObject | None:
        """Read a ConfigMap."""
        return await self.read("ConfigMap", namespace, name)

    async def pods(self, namespace: str, selector: str) -> list[JSONObject]:
        """List pods by label."""
        return [item async for item in self.listed("Pod", namespace, selector)]

    async def checkpoints(self, namespace: str, selector: str) -> list[JSONObject]:
        """List Checkpoints by label."""
        return [item async for item in self.listed(CHECKPOINT_KIND, namespace, selector)]

    async def listed(
        self, kind: str, namespace: str, selector: str = "", *, whole: bool = True
    ) -> AsyncIterator[JSONObject]:
        """List objects page by page, or only their metadata. Raises `ApiUnavailable`, `ApiRefused`."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            accept = _JSON if whole else METADATA_LIST
            page: dict[str, Any] = await self._ask("GET", _path(kind, namespace), query, accept=accept)
            for item in page.get("items") or []:
                yield item
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return
            query["continue"] = more

    # -- writing ----------------------------------------------

    async def create(self, manifest: JSONObject) -> JSONObject:
        """Create an object. Raises `NameTaken`, `ApiRefused`, `ApiUnavailable`."""
        body: dict[str, Any] = manifest
        self.writes[body["kind"], "create"] += 1
        path = _path(body["kind"], body["metadata"]["namespace"])
        return await self._ask("POST", path, {"fieldManager": FIELD_MANAGER}, body)

    async def replace(self, manifest: JSONObject) -> JSONObject:
        """Replace an object as it was read. Raises `ApiConflict` where it has changed since."""
        body: dict[str, Any] = manifest
        meta = body["metadata"]
        self.writes[body["kind"], "update"] += 1
        return await self._ask(
            "PUT", _path(body["kind"], meta["namespace"], meta["name"]), {"fieldManager": FIELD_MANAGER}, body
        )

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
        """Delete an object by its uid; gone, or another by now, is done.

        Raises:
            ApiConflict: it is not any more as it was read, where a version is given.
        """
        conditions: JSONObject = {"uid": uid}
        if resource_version:
            conditions["resourceVersion"] = resource_version
        options: JSONObject = {"preconditions": conditions, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        self.writes[kind, "delete"] += 1
        try:
            await self._ask("DELETE", _path(kind, namespace, name), body=options)
        except ApiGone:
            return

    async def annotate(
        self, kind: str, namespace: str, name: str, resource_version: str, changes: Mapping[str, str | None]
    ) -> None:
        """Change annotations of an object as it was read; null takes one away.

        Raises:
            ApiConflict: it has changed since.
            ApiGone: it is not there any more.
        """
        self.writes[kind, "patch"] += 1
        meta: JSONObject = {"resourceVersion": resource_version, "annotations": dict(changes)}
        await self._ask(
            "PATCH",
            _path(kind, namespace, name),
            {"fieldManager": FIELD_MANAGER},
            {"metadata": meta},
            content_type="application/merge-patch+json",
        )

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: JSONObject
    ) -> None:
        """Write a Workflow's status whole, by server-side apply.

        Raises:
            ApiConflict: the object has changed since it was read.
            ApiGone: it is not there any more.
        """
        self.writes[WORKFLOW_KIND, "status"] += 1
        body: JSONObject = {
            "apiVersion": API_VERSION,
            "kind": WORKFLOW_KIND,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
            "status": status,
        }
        await self._ask(
            "PATCH",
            _path(WORKFLOW_KIND, namespace, name) + "/status",
            {"fieldManager": FIELD_MANAGER, "force": "true"},
            body,
            content_type=_APPLY,
        )

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: JSONObject | None = None,
        *,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> JSONObject:
        """Send a request and read its answer. Raises one of `errors`."""
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=yaml_text(body) if content_type == _APPLY else body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*request, _request_timeout=REQUEST_SECONDS)
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
            raise ApiUnavailable(
                f"the API server did not answer: {str(error) or type(error).__name__}"
            ) from None
        try:
            return _read(response.status, data)
        except ApiRefused as error:
            if error.reason == _FORBIDDEN:
                # A right or a quota is missing; who asked may keep silent about it, and tries again.
                log.warning("request was forbidden", extra={"why": str(error)})
            raise


def yaml_text(document: JSONValue) -> str:
    """Write JSON that is YAML too, which is what server-side apply reads.

    In YAML no pair of escapes is one character, as JSON has it for emojis, and some characters must not stand
    as they are. Half a pair is no character anywhere.
    """
    text = _LONE_SURROGATE.sub("\ufffd", json.dumps(document, ensure_ascii=False))
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _read(status: int, data: bytes) -> JSONObject:
    """Read an answer; one that cannot be read, of an object nested too deep, is none, and no empty one."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        answer = None
    if status >= _OK:
        raise error_of(status, answer if isinstance(answer, dict) else {})
    if not isinstance(answer, dict):
        raise ApiUnreadable
    return answer


def _path(kind: str, namespace: str, name: str = "") -> str:
    known = _KINDS[kind]
    root = f"/apis/{known.api_version}" if "/" in known.api_version else f"/api/{known.api_version}"
    place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{place}/{known.plural}" + (f"/{quote(name, safe='')}" if name else "")
