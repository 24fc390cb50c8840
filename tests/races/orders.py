"""What a director tells a writer to do, decided as far as it can be before the race.

A `Write` is a commit down to its last byte: whoever has it sends the same, so a copy needs no channel between
the two processes that send it.
Pure: no I/O, no clock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import orjson

from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Fence, Outcome, Phase
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.codec import FORMAT_VERSION

GRAPH_HASH = "ab" * 32


@dataclass(frozen=True, slots=True)
class Hand:
    """What a writer believes: its fence, and the head that it writes on."""

    epoch: int = 0
    claim: str = ""
    seq: int = 0
    hash: str = GENESIS_HASH

    @property
    def fence(self) -> Fence:
        """The fence that its writes carry."""
        return Fence(self.epoch, self.claim)


@dataclass(frozen=True, slots=True)
class Write:
    """One commit; without checkpoints (`count` 0) it changes the row only."""

    run_id: str
    hand: Hand
    write_id: str
    count: int
    bytes: int
    """Size of each payload."""
    phase: Phase | None
    """With a phase it changes the row; the reason is then its write_id, so that the row tells whose it is."""
    consumed: tuple[int, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """The change of the row."""
        if self.phase is None:
            return None
        return Outcome(self.phase, self.write_id, consumed=self.consumed)


@dataclass(frozen=True, slots=True)
class Create:
    """Create the run."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim the run at an epoch."""

    expected: int
    claim_id: str


@dataclass(frozen=True, slots=True)
class Look:
    """Read the row, and write on the head that it shows; the fence stays."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit on the head that is believed in."""

    write_id: str
    count: int
    bytes: int
    phase: Phase | None = None
    take: bool = False
    """Consume the signals that are there."""
    abandon_seconds: float | None = None
    """Walk away from the call after so long, and send it again."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send a write that another one sends too, or has sent."""

    write: Write


@dataclass(frozen=True, slots=True)
class Send:
    """Send a signal."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Beat:
    """Send a heartbeat."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Keep the progress of a task."""

    token: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the run."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the whole history, as a runner does (`load`), as a person does (`list`), or only its head."""

    what: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Read all there is, while nobody writes."""


Act: TypeAlias = Create | Claim | Look | Commit | Deliver | Send | Beat | Progress | Delete | Read | Settle


@dataclass(frozen=True, slots=True)
class Order:
    """What one process does in one race."""

    race: int
    run_id: str
    hand: Hand
    acts: tuple[Act, ...]
    delay_seconds: float = 0.0
    stubborn: bool = False
    """Go on after a refusal, as a zombie does."""
    meets: tuple[int, ...] = ()
    """The others that it waits for before it begins."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an order: what the writer now believes, and what it was told is written."""

    hand: Hand
    written: tuple[Write, ...]
    sure: bool
    """Every call got an answer."""


def rows_of(write: Write) -> list[Checkpoint]:
    """Build the checkpoints of a write, sealed and chained: the same ones wherever it is called."""
    rows: list[Checkpoint] = []
    parent = write.hand.hash
    for n in range(write.count):
        name = f"{write.write_id}/{n}".encode()
        payload = hashlib.shake_128(name).digest(write.bytes)
        # As a runner names them: the first one after its commit, the others after themselves. An id has the
        # time of the write_id, which is a UUIDv7, and a hash in the place of randomness.
        id_ = write.write_id[:19] + "9" + _hex(name, 3) + "-" + _hex(name, 12) if n else write.write_id
        row = Checkpoint(
            run_id=write.run_id,
            seq=write.hand.seq + n + 1,
            id=id_,
            parent_hash=parent,
            hash="",
            epoch=write.hand.epoch,
            write_id=id_,
            kind="delta",
            step="draft",
            visit=n + 1,
            item=n or None,
            next=("check", "send"),
            metadata={"n": n},
            created_at=datetime.fromtimestamp(int(write.write_id.replace("-", "")[:12], 16) / 1000, UTC),
            format_version=FORMAT_VERSION,
            graph_hash=GRAPH_HASH,
            digest=hashlib.sha256(payload).hexdigest(),
            size=len(payload),
            payload=payload,
        )
        rows.append(sealed(row))
        parent = rows[-1].hash
    return rows


def moved(write: Write) -> Hand:
    """What the writer of a write believes once it is written."""
    if not write.count:
        return write.hand
    last = rows_of(write)[-1]
    return Hand(write.hand.epoch, write.hand.claim, last.seq, last.hash)


def fact_of(row: Checkpoint) -> list[int | str]:
    """What is written down of a checkpoint: what links it, and a fingerprint over all of it."""
    columns = (*row[:13], row.created_at.astimezone(UTC).isoformat(), *row[14:18])
    text = orjson.dumps(columns, option=orjson.OPT_SORT_KEYS)
    print_ = hashlib.sha256(text + b"|" + (row.payload or b"")).hexdigest()
    return [row.seq, row.id, row.parent_hash, row.hash, row.epoch, row.write_id, row.size, print_]


def _hex(name: bytes, digits: int) -> str:
    return hashlib.sha256(name + bytes([digits])).hexdigest()[:digits]
