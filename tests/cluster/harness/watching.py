"""A watch by kubectl, read as it comes."""

from __future__ import annotations

import codecs
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.cluster.harness.commands import CommandFailed

CHUNK_BYTES = 1 << 16


def objects(argv: Sequence[str], environ: Mapping[str, str], *, seconds: float) -> Iterator[dict[str, Any]]:
    """Objects in the order in which a `kubectl get --watch --output=json` prints them, for so many seconds.

    A watch that ends before is begun again: a server closes each of them some time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            try:
                yield from _documents(process, deadline)
            finally:
                process.kill()
            said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
        if process.returncode > 0:
            raise CommandFailed(argv, process.returncode, said)


def _documents(process: subprocess.Popen[bytes], deadline: float) -> Iterator[dict[str, Any]]:
    """Each JSON document on a program's output, as soon as it is complete."""
    assert process.stdout is not None
    decoder = json.JSONDecoder()
    decode = codecs.getincrementaldecoder("utf-8")().decode
    text = ""
    while (left := deadline - time.monotonic()) > 0 and select.select([process.stdout], [], [], left)[0]:
        chunk = os.read(process.stdout.fileno(), CHUNK_BYTES)
        if not chunk:
            process.wait()
            return
        text = (text + decode(chunk)).lstrip()
        while text:
            try:
                found, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            yield found
