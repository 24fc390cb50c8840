"""A handler rings and returns: what it rings with, and how quiet kopf is kept."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from kopf._core.intents.registries import OperatorRegistry
from yarl import URL

from cairn_operator.handlers.doorbells import Ring, doorbells, kopf_settings, only_metadata, with_items
from cairn_operator.reconcile.workqueue import Key


@pytest.fixture
def heard():
    return []


@pytest.fixture
def registry(heard) -> OperatorRegistry:
    return doorbells(heard.append)


async def rung(registry, name, meta, happened="MODIFIED"):
    """Call a handler as kopf does, with more than it asks for."""
    (handler,) = [found for found in registry._watching.get_all_handlers() if found.id == name]
    return await handler.fn(meta=meta, type=happened, body={"metadata": meta}, event={}, name="x", patch={})


META = {"namespace": "team", "name": "digest", "resourceVersion": "17"}
LABELLED = {
    "namespace": "team",
    "name": "digest-1",
    "resourceVersion": "18",
    "labels": {"cairn.dev/workflow": "digest"},
}
OWNED = {**LABELLED, "ownerReferences": [{"kind": "Other", "uid": "u-0"}, {"kind": "Workflow", "uid": "u-1"}]}


@pytest.mark.parametrize(
    ("name", "meta", "ring"),
    [
        pytest.param("workflow", META, Ring("Workflow", Key("team", "digest"), "17"), id="a Workflow"),
        pytest.param("pod", LABELLED, Ring("Pod", Key("team", "digest"), "18"), id="a pod: its Workflow"),
        pytest.param("checkpoint", OWNED, Ring("Checkpoint", Key("team", "digest"), "18", "u-1"),
                     id="a Checkpoint rings its Workflow and names it by uid"),
        pytest.param("checkpoint", LABELLED, Ring("Checkpoint", Key("team", "digest"), "18"),
                     id="a Checkpoint that nobody owns names no uid"),
        pytest.param("pod", {**META, "labels": None}, Ring("Pod", Key("team", ""), "17"),
                     id="what carries no label rings nobody"),
        pytest.param("checkpoint", {"ownerReferences": "odd"}, Ring("Checkpoint", Key("", ""), ""),
                     id="garbage is no exception"),
    ],
)  # fmt: skip
async def test_what_an_event_rings(registry, heard, name, meta, ring):
    """Names are all that is read from an event, and the handler writes nothing."""
    answer = await rung(registry, name, meta)

    assert heard == [ring]
    assert answer is None


PIN, NOTE = "cairn.dev/pin", "cairn.dev/pinned"


@pytest.mark.parametrize(
    ("notes", "happened", "news"),
    [
        pytest.param({}, "ADDED", "", id="one that we made"),
        pytest.param({PIN: "true", NOTE: "true"}, "ADDED", "", id="a pinned one that we made"),
        pytest.param({PIN: "true"}, "MODIFIED", "pin", id="a person pins it"),
        pytest.param({NOTE: "true"}, "MODIFIED", "pin", id="a person lets it go"),
        pytest.param({PIN: "false"}, None, "pin", id="a person lets it go in so many words"),
        pytest.param({PIN: "true", NOTE: "true"}, "DELETED", "gone", id="it is gone"),
        pytest.param("odd", None, "", id="garbage is no news"),
    ],
)
async def test_which_checkpoints_are_news(registry, heard, notes, happened, news):
    """A look for each object that we wrote ourselves would make the next ones, and so on."""
    await rung(registry, "checkpoint", {**OWNED, "annotations": notes}, happened)

    assert [ring.news for ring in heard] == [news]


def test_nothing_but_events_and_the_login_is_handled(registry):
    """A change handler would write annotations, a daemon finalizers; there are none."""
    assert {found.id for found in registry._watching.get_all_handlers()} == {"workflow", "pod", "checkpoint"}
    assert [found.id for found in registry._activities.get_all_handlers()] == ["login"]
    assert not [*registry._changing.get_all_handlers(), *registry._spawning.get_all_handlers()]


def test_every_handler_is_async(registry):
    """A sync one would be run on a thread for each event."""
    assert all(inspect.iscoroutinefunction(found.fn) for found in registry._watching.get_all_handlers())


def test_kopf_is_kept_quiet():
    """It posts nothing, stores nothing, and gives up requests and watches in time."""
    settings = kopf_settings()

    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    assert (settings.watching.server_timeout, settings.watching.client_timeout) == (240, 300)
    assert (settings.networking.request_timeout, settings.queueing.worker_limit) == (20, 50)
    assert settings.process.ultimate_exiting_timeout is None
    assert [*settings.watching.label_selectors.values()] == ["cairn.dev/workflow"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/apis/cairn.dev/v1alpha1/workflows?limit=100", "PartialObjectMetadataList"),
        ("/apis/cairn.dev/v1alpha1/workflows?watch=true&resourceVersion=7", "PartialObjectMetadata"),
        ("/apis/cairn.dev/v1alpha1", "PartialObjectMetadataList"),
    ],
    ids=["a list", "a watch", "the kinds"],
)
async def test_of_objects_only_their_metadata_are_asked_for(path, kind):
    """A list and a watch have words of their own; what has no metadata is answered whole."""
    asked = SimpleNamespace(url=URL(f"https://api{path}"), headers={"Accept": "*/*"})

    async def handler(_request):
        return None

    await only_metadata(asked, handler)
    assert asked.headers["Accept"] == f"application/json;as={kind};g=meta.k8s.io;v=v1,application/json"


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"items": None, "kind": "List"}, {"items": [], "kind": "List"}),
        ({"items": [1]}, {"items": [1]}),
        ({"resources": []}, {"resources": []}),
        ([], []),
    ],
)
def test_an_empty_list_is_no_null(answer, read):
    """So the API server writes it where only metadata are asked for, and kopf goes through it."""
    assert with_items(answer) == read
