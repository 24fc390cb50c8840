"""The flaws that others in this field had, one test or more for each, named after it.

What each was is told in the test; what is tried is the same class of flaw, here.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operator.reconcile.builders import NOW
from tests.unit.operator.resources.test_pods import ASSIGNMENT, DEFAULTS, manifest

import cairn_operator
import cairn_runtime
from cairn_operator.reconcile import facts
from cairn_operator.resources.pods import runner_pod
from cairn_runtime import run
from cairn_runtime.engine.fold import fold
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import (
    CairnError,
    CheckpointCorrupted,
    CheckpointNotFound,
    FormatUnknown,
    ManifestInvalid,
    PayloadError,
    RunNotFound,
    WriteRefused,
)
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.store.base import NewSignal
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import begun, checkpoint
from cairn_runtime.store.contract.pictures import picture
from cairn_runtime.store.opening import open_store

SALT = bytes(16)
CODEC = Codec()
MARKERS: list[Any] = [
    {"lc": 2, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "touch revived"}},
    {"lc": 1, "type": "constructor", "id": ["subprocess", "run"], "kwargs": {"args": ["touch", "revived"]}},
    {"lc": 1, "type": "secret", "id": ["CAIRN_TEST_CANARY"]},
    {"__type__": "os.system", "args": ["touch revived"]},
    {"py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["touch revived"]]},
    {"$ref": "file:///etc/passwd", "$type": "System.Diagnostics.Process"},
    {"__class__": "Popen", "__module__": "subprocess", "__reduce__": ["touch revived"]},
    ["__pydantic__", "os", "system"],
]
"""What some library takes for an order to make an object, call a function, or read a secret."""
HOSTILE = [
    "x' OR '1'='1",
    "x'; DROP TABLE checkpoints; --",
    "$.a') = 'b' UNION SELECT * FROM runs --",
    '"; DELETE FROM heads; --',
    "%",
    "_%",
    "*",
    "{*}",
    "[a-z]*",
    "@id:{*} | @id:{x}",
    "a\r\nFLUSHALL\r\n",
    "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "../../../etc/passwd",
    "..%2f..",
    "return redis.call('FLUSHALL')",
    "${jndi:x}",
    "$(touch revived)",
    "a:b:c\t\n",
]
"""Texts that mean something in SQL, in patterns, in Redis's protocol and searches, in paths and in shells."""


def stored(payload: bytes, digest: str) -> Any:
    """A sealed checkpoint 1 with these bytes, as somebody who may write rows would put it there."""
    row = checkpoint("run", 1, epoch=1, write_id="w", parent_hash="0" * 64)
    return sealed(row._replace(payload=payload, digest=digest, size=len(payload)))


def sources() -> dict[Path, ast.Module]:
    """The trees of all modules of the product."""
    folders = [Path(str(package.__file__)).parent for package in (cairn_runtime, cairn_operator)]
    return {path: ast.parse(path.read_text()) for folder in folders for path in folder.rglob("*.py")}


def imported(tree: ast.Module) -> set[str]:
    """The names of the modules that a module imports, anywhere in it."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


# -- no fallback format ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["\ud800", "ok \udfff", {"\ud800": 1}], ids=["text", "in text", "key"])
def test_cve_2025_64439_what_cannot_be_encoded_has_no_second_format(value):
    """There: half of a surrogate pair made a checkpoint fall back to JSON, whose envelopes were called.

    Here it is refused; there is one format, and the class named in its envelope stays a value.
    """
    with pytest.raises(WriteRefused):
        CODEC.encode({"events": [value]}, salt=SALT)


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: json.dumps(marker)[:40])
def test_cve_2025_64439_an_envelope_is_a_value(marker, tmp_path, monkeypatch):
    """There: `{"lc": 2, "type": "constructor", "id": ["os", "system"]}` in a payload ran a command."""
    monkeypatch.chdir(tmp_path)
    encoded = CODEC.encode({"events": [], "state": marker}, salt=SALT)

    assert CODEC.decode(encoded.payload, digest=encoded.digest)["state"] == marker
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_byte", [0, 2, 3, 0x7B, 0x80, 0xFF])
def test_cve_2025_64439_no_byte_chooses_another_decoder(format_byte):
    """Not by the payload, and not by the header beside it."""
    plain = SALT + b'{"events":[]}'
    encoded = CODEC.encode({"events": []}, salt=SALT)
    row = stored(bytes((format_byte, 0)) + plain, encoded.digest)

    with pytest.raises(PayloadError):
        CODEC.decode_checkpoint(row)
    with pytest.raises((CheckpointCorrupted, FormatUnknown)):
        CODEC.decode_checkpoint(sealed(row._replace(format_version=format_byte)))


# -- no code from data ---------------------------------------------------------------------------------


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch revived",)


PACKED = {
    "pickle": pickle.dumps(Evil()),
    # An extension of msgpack, as LangGraph writes a constructor: module, name, arguments.
    "msgpack": b"\xc7\x20\x00\x93\xa2os\xa6system\xadtouch revived",
    "yaml": b'!!python/object/apply:os.system ["touch revived"]',
}


@pytest.mark.parametrize("kind", PACKED)
def test_cve_2026_28277_bytes_of_a_checkpoint_make_no_object(kind, tmp_path, monkeypatch):
    """There: who could write the store gave msgpack whose extensions imported a module and called it on load.

    Here also with a digest and a hash that fit: the bytes are JSON, or they are corrupt.
    """
    monkeypatch.chdir(tmp_path)
    from hashlib import sha256  # noqa: PLC0415 - to forge with

    plain = SALT + PACKED[kind]
    row = stored(b"\1\0" + plain, sha256(plain).hexdigest())

    with pytest.raises(CheckpointCorrupted):
        fold([row], CODEC)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: json.dumps(marker)[:40])
def test_cve_2026_28277_events_of_a_checkpoint_load_nothing(marker, tmp_path, monkeypatch):
    """A forged history, sound in every hash, gives a state or an error; no module is imported for it."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    for body in ({"events": [marker]}, {"events": [["write", marker, "python:os:system", "touch revived"]]}):
        encoded = CODEC.encode(body, salt=SALT)
        try:
            assert isinstance(fold([stored(encoded.payload, encoded.digest)], CODEC).state, RunState)
        except CairnError as error:
            assert isinstance(error, CheckpointCorrupted)  # noqa: PT017 - either is right
    assert set(sys.modules) == before
    assert list(tmp_path.iterdir()) == []


class Custom:
    """An object that JSON does not know."""


@pytest.mark.parametrize(
    "value", [Custom(), {1, 2}, b"bytes", object, len, 1j], ids=lambda value: type(value).__name__
)
def test_cve_2026_27794_what_is_not_json_is_not_pickled(value):
    """There: a cache that could not encode a value by msgpack pickled it, and unpickled what it found."""
    with pytest.raises(WriteRefused):
        CODEC.encode({"events": [value]}, salt=SALT)


def test_cve_2026_27794_nothing_here_can_unpickle():
    """No module of the product imports what makes objects of bytes, or compiles text into code.

    But for one: the runner and its warden, two processes of one interpreter, hand over arguments by marshal.
    """
    for path, tree in sources().items():
        banned = {"pickle", "dill", "cloudpickle", "shelve", "jsonpickle", "msgpack", "joblib"}
        assert not banned & imported(tree), path
        assert "marshal" not in imported(tree) or path.name in ("warden.py", "wards.py"), path
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        called = {call.id for call in calls if isinstance(call, ast.Name)}
        assert not {"eval", "exec", "compile", "__import__"} & called, path


# -- no injection ----------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite", "file", "postgres", "redis"])
async def store(request, url_of):
    """Every store."""
    opened = await open_store(url_of(request.param))
    yield opened
    await opened.close()


async def test_cve_2025_67644_names_in_metadata_are_names(store):
    """There: the name of a key to filter metadata by went into SQL as it was; a UNION made up checkpoints.

    Here nothing filters by metadata, and whatever a key is called is kept and given back.
    """
    calm = await begun(store)
    await calm.commit(2)
    before = await picture(store, calm.run_id)
    writer = await begun(store, annotations=dict.fromkeys(HOSTILE, "x"))

    rows = await writer.commit(metadata={name: {name: [name]} for name in HOSTILE})
    await store.annotate(writer.run_id, dict.fromkeys(HOSTILE, "y"))

    assert (await store.checkpoint(rows[0].id)).metadata == rows[0].metadata
    assert (await store.run(writer.run_id)).annotations == dict.fromkeys(HOSTILE, "y")
    assert await picture(store, calm.run_id) == before


async def test_cve_2025_8709_no_text_of_a_question_is_a_statement(store):
    """There: operators of a filter were put into SQL as they came.

    Here every text that somebody can ask with is asked with; it finds nothing, and nothing changes.
    """
    calm = await begun(store)
    await calm.commit(2)
    before = await picture(store, calm.run_id)

    for text in HOSTILE:
        assert await store.runs(workflow=text) == []
        assert await store.runs(workflow=f"{text}/") == []
        assert await store.runs(thread=text) == []
        assert await store.find_checkpoints(text) == []
        assert await store.heads([text]) == {}
        assert await store.checkpoints(text) == []
        assert set((await store.changed(text))[0]) == {calm.run_id}
        for question in (store.run, store.load):
            with pytest.raises(RunNotFound):
                await question(text)
        with pytest.raises(CheckpointNotFound):
            await store.checkpoint(text)
    assert await picture(store, calm.run_id) == before


async def test_cve_2026_27022_no_text_is_a_pattern_or_a_command(store):
    """There: filters went into a search of Redis as they came, and showed what others had stored.

    Here tasks, clients, waits and children are called by every text that means something to somebody, and
    each stays what it is called; a run's id is one as well.
    """
    calm = await begun(store)
    await calm.commit(2)
    before = await picture(store, calm.run_id)
    writer = await begun(store)
    rows = await writer.commit(2)

    for text in HOSTILE:
        await store.put_progress(writer.run_id, writer.fence, text, text.encode())
        await store.send(writer.run_id, NewSignal(text, text, f"client {text}"))
        await store.hold(rows[0].id, text)

    assert await store.progress(writer.run_id) == {text: text.encode() for text in HOSTILE}
    assert [signal.name for signal in await store.signals(writer.run_id)] == HOSTILE
    assert (await store.holds(writer.run_id))[1] == set(HOSTILE)
    for count, text in enumerate(HOSTILE, 1):
        await store.release_hold(text)
        assert await store.delete_run(text) is False
        assert (await store.holds(writer.run_id)).get(1, set()) == set(HOSTILE[count:])
    assert await picture(store, calm.run_id) == before


# -- no marker that is revived -----------------------------------------------------------------------------


def test_cve_2025_68664_a_marker_in_user_data_stays_data(tmp_path, monkeypatch):
    """There: `lc` in a user's value was taken for the library's own, and read secrets of the environment.

    Here a whole run carries every such marker through input, state, a fold and a step, untouched.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAIRN_TEST_CANARY", "canary-of-the-environment")
    code = "async def same(state):\n    return {'out': state['given']}\n"
    steps = [{"name": "same", "python": "steps:same"}]
    document = {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "markers"},
        "spec": {
            "code": {"steps.py": code},
            "input": {"given": MARKERS},
            "state": {"channels": {"out": {}}},
            "steps": steps,
        },
    }

    result = asyncio.run(run(document, store="memory:"))

    assert result.phase == "Succeeded"
    assert result.state["out"] == result.state["given"] == MARKERS
    assert "canary-of-the-environment" not in json.dumps(result.state)
    assert not (tmp_path / "revived").exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!!python/module:os", "!custom"]
)
def test_cve_2025_68664_a_tag_in_a_manifest_makes_no_object(tag, tmp_path, monkeypatch):
    """YAML has markers of its own; a manifest with one is refused."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ManifestInvalid):
        read_manifest(f"apiVersion: {tag} ['touch revived']\nkind: Workflow\n", source="hostile.yaml")
    assert list(tmp_path.iterdir()) == []


# -- no pod beyond the allow-list ----------------------------------------------------------------------------

BEYOND: list[dict[str, Any]] = [
    {"podSpecPatch": '{"containers": [{"name": "main", "securityContext": {"privileged": true}}]}'},
    {"hostNetwork": True},
    {"hostPID": True},
    {"securityContext": {"runAsUser": 0}},
    {"containers": [{"name": "runner", "image": "evil"}]},
    {"initContainers": [{"name": "x", "image": "evil"}]},
    {"automountServiceAccountToken": True},
    {"command": ["sh"]},
    {"runtimeClassName": "x"},
    {"nodeName": "control-plane"},
    {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
    {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
    {"runAsUser": 0},
]


@pytest.mark.parametrize("fields", BEYOND, ids=lambda fields: next(iter(fields)))
def test_cve_2026_31892_nothing_patches_a_pod(fields):
    """There: `podSpecPatch` in a Workflow was laid over the pod, past the template that was required.

    Here `spec.pod` is an allow-list, at its top and inside its volumes; what is beyond it is refused.
    """
    steps = [{"name": "a", "run": "true"}]
    for spec in ({"steps": steps, "pod": fields}, {"steps": steps, **fields}):
        document = {"apiVersion": "cairn.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "a"}}
        with pytest.raises(ManifestInvalid, match=next(iter(fields))):
            asyncio.run(run({**document, "spec": spec}, store="memory:"))


def test_cve_2026_31892_every_pod_is_restricted_whatever_was_asked_for():
    """Also one whose allowed fields are all set, and hostile where they may be."""
    hostile = {
        "labels": {"cairn.dev/run": "another", "cairn.dev/epoch": "1"},
        "env": [{"name": "CAIRN_STORE_URL", "value": "memory:"}, {"name": "CAIRN_CLAIM", "value": "x"}],
        "annotations": {"cairn.dev/generation": "999"},
    }
    made: Any = runner_pod(manifest(pod=hostile), ASSIGNMENT, DEFAULTS)
    (container,) = made["spec"]["containers"]

    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert made["spec"]["automountServiceAccountToken"] is False
    assert container["command"] == ["python", "-m", "cairn_runtime.runner"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert made["metadata"]["labels"]["cairn.dev/run"] == ASSIGNMENT.run_id
    assert made["metadata"]["annotations"]["cairn.dev/generation"] == str(ASSIGNMENT.generation)
    assert {item["name"]: item.get("value") for item in container["env"]}[
        "CAIRN_CLAIM"
    ] == ASSIGNMENT.claim_id


# -- no poison object --------------------------------------------------------------------------------

POISON: list[Any] = [
    "",
    "/",
    "a",
    "///",
    "-1",
    "1/2/3",
    "9" * 5000,
    "\u0664",
    "\x00",
    "NaN",
    None,
    3,
    [],
    {},
    [[["x"]]],
    True,
]


@pytest.mark.parametrize("poison", POISON, ids=lambda value: repr(value)[:20])
def test_cve_2026_40886_no_annotation_stops_the_operator(poison):
    """There: a pod's annotation without a slash was read past its end, where nobody recovered: the controller
    crashed, and again after each restart, until somebody deleted the pod.

    Here every annotation, label and field that is read of an object may be anything; it fits nothing, and
    says so without an exception.
    """
    names = ["generation", "epoch", "run", "pin", "pinned", "workflow"]
    notes = {f"cairn.dev/{name}": poison for name in names}
    for metadata in (
        {"annotations": notes, "labels": notes},
        {"annotations": poison, "labels": poison},
        poison,
    ):
        document: Any = {"metadata": metadata, "status": poison, "spec": poison}
        pod = facts.pod_facts(document, NOW)
        assert pod.epoch < 10**18
        facts.shown_checkpoint(document)
        facts.workflow_object(document, NOW)
        assert not facts.is_owned(document, "uid")
