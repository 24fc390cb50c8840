"""Damage and forgery, drawn by chance and counted: what of it is found, through every store.

    python -m tests.contract.trials --store URL --trials 100000 --seed 1 [--keys]
    python -m tests.contract.trials --store URL --trials 1000 --seed 1 --behind [--keys]

Without `--behind`: histories are written to the store and read back, and one damage after the other is done
to what was read, on its way to the reader. With it: each damage is done in the server, by its own means, to
a history of its own.
A trial passes if `cairn verify` calls the history not sound, and a reader who looks for the newest valid
checkpoint gets a state that was written, or an error. A bit that says nothing is counted by itself: a zstd
frame has a few whose change leaves all content as it was, which the digest proves. Encrypted there is none.
With `--keys` payloads are encrypted, and some of the damage is done by somebody who computes every hash anew.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from tests.contract.damage import InPostgres, InRedis, Rows, flipped_somewhere
from tests.unit.cli.builders import Writer

from cairn_runtime.cli.proofs import prove
from cairn_runtime.engine.history import fold_at, newest_valid
from cairn_runtime.errors import CheckpointNotFound, PayloadError
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Gap, Run, Store
from cairn_runtime.store.chain import sealed
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import VARIABLE, codec_from_environment
from cairn_runtime.store.opening import open_store

TEXTS = ("id", "parent_hash", "hash", "write_id", "kind", "step", "graph_hash", "digest", "run_id")
NUMBERS = ("epoch", "visit", "format_version")


@dataclass(slots=True)
class History:
    """One run as it was written, with the state at each of its checkpoints."""

    run: Run
    rows: list[Checkpoint]
    states: dict[int, JSONObject] = field(default_factory=dict)


class Reader:
    """A store that gives out rows as somebody left them."""

    def __init__(self, run: Run, rows: list[Checkpoint]) -> None:
        self._run = run
        self._rows = sorted(rows, key=lambda row: row.seq)

    async def run(self, run_id: str) -> Run:
        """The row."""
        return self._run

    async def checkpoints(
        self, run_id: str, *, before: int | None = None, limit: int = 100
    ) -> list[Checkpoint]:
        """Headers, newest first."""
        rows = [row._replace(payload=None) for row in self._rows[::-1] if before is None or row.seq < before]
        return rows[:limit]

    async def checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """One checkpoint."""
        for row in self._rows:
            if row.id == checkpoint_id:
                return row
        raise CheckpointNotFound(checkpoint_id)

    async def load(self, run_id: str, seq: int | None = None) -> list[Checkpoint]:
        """From the newest snapshot at or before a checkpoint."""
        rows = [row for row in self._rows if row.seq <= (seq or self._run.head_seq)]
        if seq is not None and not any(row.seq == seq for row in rows):
            raise CheckpointNotFound(f"{run_id}/{seq}")
        starts = [n for n, row in enumerate(rows) if row.kind == "snapshot"]
        return rows[starts[-1] if starts else 0 :]

    async def gaps(self, run_id: str) -> list[Gap]:
        """No prune was there."""
        return []


async def written(store: Store, codec: Codec) -> History:
    """Write a run of nine checkpoints, one of them a snapshot, and read it back."""
    writer = await Writer.begin(store, nonce=uuid4().hex, codec=codec)
    await writer.item("fetch", 1, "page b " * 300)
    await writer.item("fetch", 0, "page a")
    await writer.done("draft", {"text": "first"})
    await writer.done("check", {"score": 5}, snapshot=True)
    await writer.done("draft", {"text": "second"})
    await writer.done("check", {"score": 6})
    await writer.done("draft", {"text": "third"})
    await writer.done("check", {"score": 8})
    run_id = writer.run.run_id
    rows = [await store.checkpoint(row.id) for row in await store.checkpoints(run_id)]
    history = History(await store.run(run_id), rows[::-1])
    for row in rows:
        history.states[row.seq] = (await fold_at(store, codec, run_id, row.seq)).state.to_json()
    return history


# -- damage to what was read --------------------------------------------------------------------------


def _at(rows: list[Checkpoint], at: int, **changes: Any) -> list[Checkpoint]:
    return [row._replace(**changes) if n == at else row for n, row in enumerate(rows)]


def flip_payload(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    return _at(rows, at, payload=flipped_somewhere(rows[at].payload or b"", chance))


def cut_payload(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    payload = rows[at].payload or b""
    return _at(rows, at, payload=payload[: chance.randrange(len(payload))])


def grow_payload(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    return _at(rows, at, payload=(rows[at].payload or b"") + chance.randbytes(chance.randint(1, 40)))


def exchange_payloads(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    one, other = chance.sample(range(len(rows)), 2)
    return _at(_at(rows, one, payload=rows[other].payload), other, payload=rows[one].payload)


def payload_of_another_run(
    rows: list[Checkpoint], others: list[Checkpoint], chance: Random
) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    return _at(rows, at, payload=others[at].payload)


def exchange_rows(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    one, other = chance.sample(range(len(rows)), 2)
    out = list(rows)
    out[one], out[other] = rows[other]._replace(seq=one + 1), rows[one]._replace(seq=other + 1)
    return out


def row_of_another_run(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    out = list(rows)
    out[at] = others[at]._replace(run_id=rows[at].run_id) if chance.random() < 0.5 else others[at]
    return out


def lose_rows(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    first = chance.randrange(len(rows))
    return rows[:first] + rows[first + chance.randint(1, 3) :]


def flip_text(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at, column = chance.randrange(len(rows)), chance.choice(TEXTS)
    text = getattr(rows[at], column).encode()
    changed = flipped_somewhere(text, chance).decode("utf-8", "replace")
    return _at(rows, at, **{column: changed})


def flip_number(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at, column = chance.randrange(len(rows)), chance.choice(NUMBERS)
    return _at(rows, at, **{column: getattr(rows[at], column) ^ 1 << chance.randrange(31)})


def change_header(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    at = chance.randrange(len(rows))
    row = rows[at]
    changes: list[dict[str, Any]] = [
        {"next": (*row.next, "x")},
        {"metadata": {**row.metadata, "x": chance.random()}},
        {"item": chance.randrange(9) if row.item is None else None},
        {"created_at": row.created_at.replace(microsecond=row.created_at.microsecond ^ 1)},
    ]
    return _at(rows, at, **chance.choice(changes))


def seal_one_anew(rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> list[Checkpoint]:
    """Change a header and compute its own hash anew."""
    out = change_header(rows, others, chance)
    at = next(n for n, row in enumerate(out) if row != rows[n])
    return _at(out, at, hash=sealed(out[at]).hash)


Damage = Callable[[list[Checkpoint], list[Checkpoint], Random], list[Checkpoint]]
DAMAGES: tuple[Damage, ...] = (
    *(flip_payload, flip_payload, cut_payload, grow_payload, exchange_payloads, payload_of_another_run),
    *(exchange_rows, row_of_another_run, lose_rows, flip_text, flip_number, change_header, seal_one_anew),
)


def forge(history: History, others: History, chance: Random) -> History:
    """What somebody does who may write every row and has no key: all hashes and the run's row fit again."""
    rows = list(history.rows)
    at = chance.randrange(len(rows))
    match chance.randrange(4):
        case 0:
            rows = change_header(rows, others.rows, chance)
        case 1:
            rows = payload_of_another_run(rows, others.rows, chance)
            rows[at] = rows[at]._replace(digest=others.rows[at].digest)
        case 2:
            made = Codec().encode({"events": [["write", "score", "replace", 9]]}, salt=chance.randbytes(16))
            rows[at] = rows[at]._replace(payload=made.payload, digest=made.digest)
        case _:
            rows = exchange_payloads(rows, others.rows, chance)
    parent = GENESIS_HASH
    for n, row in enumerate(rows):
        rows[n] = sealed(row._replace(parent_hash=parent))
        parent = rows[n].hash
    return History(replace(history.run, head_hash=parent), rows, history.states)


# -- the trials ------------------------------------------------------------------------------------------


async def missed(store: Any, run: Run, states: dict[int, JSONObject], codec: Codec) -> str:
    """What somebody was made to believe; empty where the damage was found."""
    if (await prove(store, run)).sound:
        return "verify called it sound"
    try:
        newest = await newest_valid(store, codec, run)
    except PayloadError:
        return ""
    at = newest.folded.checkpoint
    if at is None or newest.folded.state.to_json() != states.get(at.seq):
        return f"a state was read at checkpoint {at and at.seq} that was never written"
    return ""


async def through_the_codec(url: str, trials: int, seed: int, codec: Codec) -> Counter[str]:
    """Damage what was read; answers what was missed, and how many trials there were under each name."""
    store = await open_store(url)
    histories = [await written(store, codec) for _ in range(4)]
    await store.close()
    for history in histories:
        reader: Any = Reader(history.run, history.rows)
        assert (await prove(reader, history.run)).sound
    found: Counter[str] = Counter()
    for n in range(trials):
        chance = Random(f"{seed}/{n}")
        history, others = chance.sample(histories, 2)
        if codec.keys is not None and n % 4 == 0:
            name, left = "forge", forge(history, others, chance)
        else:
            damage = chance.choice(DAMAGES)
            rows = damage(list(history.rows), others.rows, chance)
            name, left = damage.__name__, History(history.run, rows, history.states)
        found[name] += 1
        if left.rows == history.rows:
            continue  # the same bytes: nothing was damaged
        why = await missed(Reader(left.run, left.rows), left.run, left.states, codec)
        if why and codec.keys is None and _same_content(history.rows, left.rows, codec):
            found["bits that say nothing"] += 1
        elif why:
            found[f"MISSED {name}, seed {seed}/{n}: {why}"] += 1
    return found


def _same_content(rows: list[Checkpoint], left: list[Checkpoint], codec: Codec) -> bool:
    """Whether all headers are the same, and every payload still says what it said."""
    if [row._replace(payload=None) for row in rows] != [row._replace(payload=None) for row in left]:
        return False
    return all(
        codec.decode_checkpoint(row) == codec.decode_checkpoint(other)
        for row, other in zip(rows, left, strict=True)
    )


async def behind_its_back(url: str, trials: int, seed: int, codec: Codec, place: Rows) -> Counter[str]:
    """Damage what the server keeps, by its own means, each time a history of its own."""
    store = await open_store(url)
    found: Counter[str] = Counter()
    others = await written(store, codec)
    for n in range(trials):
        chance = Random(f"{seed}/{n}")
        history = await written(store, codec)
        name = _hit(place, history.rows, others.rows, chance)
        found[name] += 1
        why = await missed(store, history.run, history.states, codec)
        if why and codec.keys is None and name == "flip" and await _says_the_same(store, history, codec):
            found["bits that say nothing"] += 1
        elif why:
            found[f"MISSED {name}, seed {seed}/{n}: {why}"] += 1
        others = history
    await store.close()
    return found


async def _says_the_same(store: Store, history: History, codec: Codec) -> bool:
    rows = [await store.checkpoint(row.id) for row in history.rows]
    return _same_content(history.rows, rows, codec)


def _hit(place: Rows, rows: list[Checkpoint], others: list[Checkpoint], chance: Random) -> str:
    """Do one damage in the server, and name it."""
    one, other = chance.sample(rows, 2)
    payload = one.payload or b""
    match chance.randrange(6):
        case 0:
            place.flip_payload(one, chance.randrange(len(payload)))
            return "flip"
        case 1:
            place.set_payload(one, payload[: chance.randrange(len(payload))])
            return "cut"
        case 2:
            place.set_payload(one, other.payload or b"")
            return "payload of another checkpoint"
        case 3:
            place.set_payload(one, others[one.seq - 1].payload or b"")
            return "payload of another run"
        case 4:
            place.exchange(one, other)
            return "rows exchanged"
        case _:
            place.lose(one)
            return "lost"


def place_of(url: str) -> Rows:
    """How a server's rows are changed behind its back."""
    return InPostgres(url) if url.startswith("postgres") else InRedis(url)


def key_file(folder: Path) -> Path:
    """A key file of its own, that refuses what is plain."""
    path = folder / "keys"
    path.write_text(f"trials: {b64encode(sha256(b'trials').digest()).decode()}\nplain: refuse\n")
    return path


def main() -> int:
    """Run the trials; ends with 1 if anything was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.trials", description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--behind", action="store_true")
    parser.add_argument("--keys", action="store_true")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        if asked.keys:
            os.environ[VARIABLE] = str(key_file(Path(folder)))
        codec = codec_from_environment()
        started = time.monotonic()
        if asked.behind:
            work = behind_its_back(asked.store, asked.trials, asked.seed, codec, place_of(asked.store))
        else:
            work = through_the_codec(asked.store, asked.trials, asked.seed, codec)
        found = asyncio.run(work)
    for name, count in sorted(found.items()):
        sys.stdout.write(f"{count:8} {name}\n")
    bad = [name for name in found if name.startswith("MISSED")]
    sys.stdout.write(f"{asked.trials} trials in {time.monotonic() - started:.0f} s, {len(bad)} missed\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
