"""What rings: Workflows, pods that carry a Workflow's name, and Checkpoints.

An event says which Workflow to look at, and nothing else of it is used: the pass reads live.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import aiohttp
import kopf

from cairn_operator.names import (
    CHECKPOINT_KIND,
    CHECKPOINT_PLURAL,
    GROUP,
    METADATA,
    METADATA_LIST,
    PIN_ANNOTATION,
    PINNED_ANNOTATION,
    VERSION,
    WORKFLOW_KIND,
    WORKFLOW_LABEL,
    WORKFLOW_PLURAL,
)
from cairn_operator.reconcile.projection import says
from cairn_operator.reconcile.workqueue import Key

SERVER_SECONDS, CLIENT_SECONDS, REQUEST_SECONDS = 240, 300, 20
_PAGE = 100
_WORKERS = 50
_IDLE_SECONDS = 1.0


class Ring(NamedTuple):
    """What an event tells."""

    kind: str
    key: Key
    version: str
    """The object's resourceVersion: proves that its watch lives."""
    owner_uid: str = ""
    """Uid of the Workflow that a Checkpoint belongs to."""
    news: Literal["", "pin", "gone"] = ""
    """What a Checkpoint tells that its Workflow's next pass would not: all others are our own writes."""


class Bell(Protocol):
    """Who is rung; called on the watches' own thread."""

    def __call__(self, ring: Ring) -> None:
        """Take it and return at once."""


def doorbells(bell: Bell) -> kopf.OperatorRegistry:
    """Make kopf's registry with our few handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def login(settings: kopf.OperatorSettings, **_: object) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(
            settings=settings
        )
        return _frugal(found) if found is not None else None

    @kopf.on.event(GROUP, VERSION, WORKFLOW_PLURAL, registry=registry, id="workflow")
    async def workflow(meta: Mapping[str, Any], **_: object) -> None:
        bell(Ring(WORKFLOW_KIND, _key(meta, meta.get("name")), _version(meta)))

    @kopf.on.event("", "v1", "pods", registry=registry, id="pod", labels={WORKFLOW_LABEL: kopf.PRESENT})
    async def pod(meta: Mapping[str, Any], **_: object) -> None:
        bell(Ring("Pod", _key(meta, _labelled(meta)), _version(meta)))

    @kopf.on.event(GROUP, VERSION, CHECKPOINT_PLURAL, registry=registry, id="checkpoint")
    async def checkpoint(meta: Mapping[str, Any], type: str | None, **_: object) -> None:  # noqa: A002 - kopf's word
        news = _news(meta, type)
        bell(Ring(CHECKPOINT_KIND, _key(meta, _labelled(meta)), _version(meta), _owner(meta), news))

    return registry


def _frugal(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """A session as kopf would make it, but for what is asked for: of an event nothing else is read.

    A page of a hundred Workflows as large as they may be would be gigabytes, and each status that is written
    would come back with its whole Workflow.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        middlewares=(only_metadata,),
        response_class=Answer,
    )
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
    )


class Answer(aiohttp.ClientResponse):
    """An answer of the API server; an empty list of metadata has null for items, which kopf goes through."""

    async def json(self, **options: Any) -> Any:  # noqa: ANN401 - as the class above has it
        """Read it as JSON."""
        return with_items(await super().json(**options))


def with_items(answer: object) -> object:
    """An answer in which no list is null."""
    return {**answer, "items": []} if isinstance(answer, dict) and answer.get("items", ()) is None else answer


async def only_metadata(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Ask for metadata, and for all of what has none, such as the list of kinds that a server knows."""
    metadata = METADATA if "watch" in request.url.query else METADATA_LIST
    request.headers["Accept"] = f"{metadata},application/json"
    return await handler(request)


def kopf_settings() -> kopf.OperatorSettings:
    """Make kopf as quiet as a doorbell."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = CLIENT_SECONDS
    settings.watching.chunk_size = _PAGE
    # The API server sends only pods of ours: a cluster may hold ten thousand others.
    settings.watching.label_selectors["", "v1", "pods"] = WORKFLOW_LABEL
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.queueing.worker_limit = _WORKERS
    settings.queueing.idle_timeout = _IDLE_SECONDS
    settings.persistence.progress_storage = kopf.MultiProgressStorage([])
    settings.persistence.diffbase_storage = kopf.MultiDiffBaseStorage([])
    # It would write a line for each event, and one about the signals that it does not get here.
    for name in ("kopf.objects", "kopf._core.reactor.running"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return settings


def _key(meta: Mapping[str, Any], name: object) -> Key:
    return Key(str(meta.get("namespace") or ""), str(name or ""))


def _labelled(meta: Mapping[str, Any]) -> object:
    labels = meta.get("labels")
    return labels.get(WORKFLOW_LABEL) if isinstance(labels, Mapping) else None


def _version(meta: Mapping[str, Any]) -> str:
    return str(meta.get("resourceVersion") or "")


def _news(meta: Mapping[str, Any], happened: str | None) -> Literal["", "pin", "gone"]:
    if happened == "DELETED":
        return "gone"
    notes = meta.get("annotations")
    pin, noted = (
        (notes.get(PIN_ANNOTATION), notes.get(PINNED_ANNOTATION))
        if isinstance(notes, Mapping)
        else (None, None)
    )
    return "" if says(pin, noted, pinned=noted == "true") else "pin"


def _owner(meta: Mapping[str, Any]) -> str:
    owners = meta.get("ownerReferences")
    for owner in owners if isinstance(owners, list | tuple) else ():
        if isinstance(owner, Mapping) and owner.get("kind") == WORKFLOW_KIND:
            return str(owner.get("uid") or "")
    return ""
