"""Ids, tasks' names and the one clock format: what every other room needs to name a thing.

Times are aware UTC datetimes inside and RFC 3339 with microseconds and `Z` on the wire.
Clock and randomness are passed in where a decision depends on them; here are only the sources.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from typing import NewType
from uuid import UUID, uuid5

RunId = NewType("RunId", str)
CheckpointId = NewType("CheckpointId", str)
TaskKey = NewType("TaskKey", str)

NAMESPACE = UUID("6f1c9d0e-52a4-5b7e-9d6b-0c3a1f7e4d21")
"""Namespace of every name-based id that is not derived from a Workflow's own uid."""

_TASK = re.compile(
    r"^(?P<step>[a-z0-9]([-a-z0-9]*[a-z0-9])?)#(?P<visit>[1-9]\d*)(\[(?P<item>\d+)\])?\Z", re.ASCII
)


_VARIANT = {digit: "89ab"[n % 4] for n, digit in enumerate("0123456789abcdef")}
"""A random hex digit, and what it becomes where a UUID's variant stands: its first two bits are 1 and 0."""


def task_key(step: str, visit: int, item: int | None = None) -> TaskKey:
    """Name a task: `step#visit`, in a foreach `step#visit[position]`."""
    return TaskKey(f"{step}#{visit}" if item is None else f"{step}#{visit}[{item}]")


def parse_task_key(text: str) -> tuple[str, int, int | None]:
    """Split a task's name into step, visit and position.

    Raises:
        ValueError: the text is not a task's name.
    """
    match = _TASK.match(text)
    if match is None:
        msg = f'"{text}" is not a task; write it as step#visit or step#visit[position]'
        raise ValueError(msg)
    item = match["item"]
    return match["step"], int(match["visit"]), None if item is None else int(item)


def new_id(now: float | None = None) -> str:
    """Make a UUIDv7: 48 bits of milliseconds, then random bits (RFC 9562, 5.7)."""
    millis = int((time.time() if now is None else now) * 1000)
    digits = (millis.to_bytes(6, "big") + os.urandom(10)).hex()
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def run_id_for(uid: str, nonce: str = "") -> RunId:
    """Derive a run's id from the Workflow's uid and the resume nonce, the same for whoever asks."""
    return RunId(str(uuid5(UUID(uid), nonce)))


def trace_id_for(run_id: str) -> str:
    """Derive the id of a run's OpenTelemetry trace, the same for whoever asks: 32 hex digits.

    Hashed, because samplers read the lower half of a trace id as a random number, and a UUID's is none.
    """
    from hashlib import sha256  # noqa: PLC0415 - loads OpenSSL, and worker processes need it not

    return sha256(f"cairn.trace/{run_id}".encode(errors="surrogatepass")).hexdigest()[:32]


def short_id(run_id: str) -> str:
    """The short form for people: the last 8 characters."""
    return run_id[-8:]


def utc_now() -> datetime:
    """The present as an aware UTC datetime."""
    return datetime.now(UTC)


def to_wire(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, e.g. `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """Read an RFC 3339 moment.

    Raises:
        ValueError: not RFC 3339, or without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f'"{text}" has no time zone'
        raise ValueError(msg)
    return moment.astimezone(UTC)
