"""Care of a store as a whole: its schema, how it is, its keys."""

from __future__ import annotations

import os
from pathlib import Path

from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store, store_url
from cairn_runtime.cli.views.shapes import error_shape
from cairn_runtime.cli.views.texts import plain
from cairn_runtime.cli.views.units import counted, size
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED, Fault, InvalidInput, SettingsInvalid
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.auditing import note
from cairn_runtime.runner.rekeying import Rekeyed, rekey
from cairn_runtime.store.base import Health
from cairn_runtime.store.keys import codec_from_environment, with_new_key
from cairn_runtime.store.opening import open_store, safe_url
from cairn_runtime.store.places import refused, replace_file

_SHOWN = 20
"""Unreadable payloads that are named to people; a document names all."""


async def migrate(output: Output, option: str | None) -> int:
    """Bring the schema forward, also by steps that take something away."""
    url = store_url(option)
    store = await open_store(url)
    try:
        version = await store.migrate()
    finally:
        await store.close()
    if output.for_people:
        output.text([f"{safe_url(url)}: schema {version}"])
    else:
        output.document({"store": safe_url(url), "schemaVersion": version})
    return EXIT_DONE


async def check(output: Output, option: str | None) -> int:
    """Ask a store how it is."""
    async with existing_store(option) as store:
        health = await store.check()
        url = store.url
    if output.for_people:
        output.text(_health_lines(url, health))
    else:
        output.document(
            {
                "store": url,
                "kind": health.kind,
                "durable": health.durable,
                "latencySeconds": health.latency_seconds,
                "schemaVersion": health.schema_version,
                "usedBytes": health.used_bytes,
                "freeBytes": health.free_bytes,
            }
        )
    return EXIT_DONE


async def encrypt_again(output: Output, option: str | None) -> int:
    """Encrypt everything with the first key; the exit code is 1 where something could not be read."""
    codec = codec_from_environment()
    async with existing_store(option) as store:
        if codec.keys is not None:
            await note(store, "rekey", source="every run")
        done = await rekey(store, codec)
    if output.for_people:
        output.text(_rekeyed_lines(done))
    else:
        output.document(_rekeyed_document(done))
    return EXIT_FAILED if done.unreadable else EXIT_DONE


def new_key(output: Output, file: str, name: str, *, first: bool) -> int:
    """Write a new key into a key file, which is made if it is not there; the key is shown nowhere.

    Raises:
        InvalidInput: no file was named.
        SettingsInvalid: it is no file of keys, or has a key of this name.
        StoreError: the file cannot be written.
    """
    if not file:
        raise InvalidInput([Fault("FILE", "is missing: name the key file, such as keys.txt")])
    path = Path(file)
    try:
        # Through the link, so that the file changes and not what points to it.
        path = path.resolve()
        text = path.read_text("ascii") if path.exists() else ""
        name = name or output.now.strftime("%Y-%m-%d")
        replace_file(
            path, [with_new_key(text, name, first=first).encode()], durable=True, writer=str(os.getpid())
        )
    except UnicodeDecodeError:
        raise SettingsInvalid([Fault("FILE", f"{path} is not text")]) from None
    except OSError as error:
        raise refused(error, path) from None
    writes = first or not text.strip()
    if output.for_people:
        does = "it writes from now on" if writes else "it reads, and writes once its line is the first"
        output.text([f"{file}: added key {name}; {does}"])
    else:
        output.document({"file": file, "key": name, "writes": writes})
    return EXIT_DONE


def _health_lines(url: str, health: Health) -> list[str]:
    used = "" if health.used_bytes is None else f", {size(health.used_bytes)} used"
    free = "" if health.free_bytes is None else f", {size(health.free_bytes)} free"
    answers = f"answers in {health.latency_seconds * 1000:.2f} ms, schema {health.schema_version}"
    return [f"{url}: {answers}{used}{free}", f"durable: {health.durable}"]


def _rekeyed_lines(done: Rekeyed) -> list[str]:
    what = f"{counted(done.payloads, 'payload')} of {counted(done.runs, 'run')}"
    lines = [f"encrypted {what} with the first key; {done.already} had it already"]
    if done.progress:
        lines.append(f"encrypted the progress of {counted(done.progress, 'task')}")
    if done.overtaken:
        lines.append(
            f"{done.overtaken} were changed by others meanwhile; run it again to see whether any is left"
        )
    if done.unreadable:
        lines.append(f"{len(done.unreadable)} could not be read and stay as they are; keep the old keys:")
        lines += [f"  ! {plain(str(fault))}" for fault in done.unreadable[:_SHOWN]]
    if len(done.unreadable) > _SHOWN:
        lines.append(f"  ... and {len(done.unreadable) - _SHOWN} more; -o json names all")
    return lines


def _rekeyed_document(done: Rekeyed) -> JSONObject:
    out: JSONObject = {
        "runs": done.runs,
        "payloads": done.payloads,
        "progress": done.progress,
        "already": done.already,
        "overtaken": done.overtaken,
        "unreadable": len(done.unreadable),
    }
    if done.unreadable:
        out["error"] = error_shape("PayloadError", "some payloads could not be read", done.unreadable)
    return out
