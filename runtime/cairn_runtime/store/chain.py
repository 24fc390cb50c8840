"""The hash chain of a run's checkpoints, and the walk that proves it.

    hash = sha256(parent hash + canonical header + digest)

The canonical header is the JSON of a fixed list of every header column (see `seal_checkpoint`): no spaces,
sorted keys, the time in UTC as RFC 3339 with `Z` and without a fraction of zero; hashes are hex text.
`hash`, `payload` and `size` are left out: a payload may be encrypted again without touching the history, and
its plain content is bound by `digest`.

`verify_history` explains a history or says what is wrong in it: what a prune took is named by a gap, what was
found corrupted is named by the snapshot that was written after it (`metadata.skips: [first, last]`, parent
hash of the newest valid checkpoint before).
Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any, Literal

import orjson

from cairn_runtime.errors import CheckpointCorrupted, PayloadError
from cairn_runtime.store.base import GENESIS_HASH, Checkpoint, Gap
from cairn_runtime.store.codec import Codec

SKIPS = "skips"
"""Metadata key of a snapshot that goes on after corrupted checkpoints: `[first seq, last seq]`."""

_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z

Reason = Literal["Pruned", "Skipped", "Altered", "PayloadUnusable", "ChainBroken", "Missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a walk over a history found, for seqs `first_seq` to `last_seq`.

    `fault` is false for what is explained: a prune, or damage that a later snapshot names and leaves behind.
    """

    first_seq: int
    last_seq: int
    reason: Reason
    message: str
    fault: bool


def seal_checkpoint(checkpoint: Checkpoint) -> str:
    """Compute the hash of a checkpoint; its own `hash` is not read."""
    created = checkpoint.created_at
    if created.tzinfo is not UTC:
        created = created.astimezone(UTC)
    # [format_version, run_id, seq, id, epoch, write_id, kind, step, visit, item, next, metadata, created_at,
    # graph_hash]; slices of the tuple, because every commit passes here.
    columns = (checkpoint.format_version, *checkpoint[:3], *checkpoint[5:13], created, checkpoint.graph_hash)
    header = orjson.dumps(columns, option=_CANONICAL)
    return sha256(checkpoint.parent_hash.encode() + header + checkpoint.digest.encode()).hexdigest()


def sealed(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with its `hash` set."""
    # A third of the time of `_replace`, and every commit passes here.
    columns: tuple[Any, ...] = (*checkpoint[:4], seal_checkpoint(checkpoint), *checkpoint[5:])
    return Checkpoint._make(columns)


def is_sealed(checkpoint: Checkpoint) -> bool:
    """Tell whether the header is what was written."""
    return seal_checkpoint(checkpoint) == checkpoint.hash


def verify_checkpoint(checkpoint: Checkpoint) -> None:
    """Check that the header is what was written; the payload is the codec's to check.

    Raises:
        CheckpointCorrupted: it is not.
    """
    if not is_sealed(checkpoint):
        msg = f"checkpoint {checkpoint.seq} of run {checkpoint.run_id} is corrupted: its hash does not match"
        raise CheckpointCorrupted(msg)


def verify_history(headers: Iterable[Checkpoint], gaps: Iterable[Gap] = ()) -> list[Finding]:
    """Walk a run's checkpoints, in any order, and report what is explained and what is wrong.

    A sound history without prunes has no finding.
    The walk begins at checkpoint 1: give all there are.
    """
    ordered = sorted(headers, key=lambda checkpoint: checkpoint.seq)
    by_first = {gap.first_seq: gap for gap in gaps}
    found: list[Finding] = []
    before: Checkpoint | None = None
    for checkpoint in ordered:
        if not is_sealed(checkpoint):
            text = f"checkpoint {checkpoint.seq}: its header was altered"
            found.append(_fault(checkpoint.seq, "Altered", text))
        found += _link(before, checkpoint, by_first, ordered)
        before = checkpoint
    return _explained(found, ordered)


def verify_payloads(checkpoints: Iterable[Checkpoint], codec: Codec) -> Iterator[Finding]:
    """Decode each payload and report those that cannot be used."""
    for checkpoint in checkpoints:
        try:
            codec.decode_checkpoint(checkpoint)
        except PayloadError as error:
            yield _fault(checkpoint.seq, "PayloadUnusable", f"checkpoint {checkpoint.seq}: {error.message}")


def explain(found: Iterable[Finding], headers: Iterable[Checkpoint]) -> list[Finding]:
    """Mark as no fault what a later, sound snapshot skips; for findings that the caller put together."""
    return _explained(list(found), sorted(headers, key=lambda checkpoint: checkpoint.seq))


def skips_of(checkpoint: Checkpoint) -> tuple[int, int] | None:
    """Read which corrupted checkpoints a snapshot leaves behind: first and last seq, or None."""
    match checkpoint.metadata.get(SKIPS):
        case [int(first), int(last)] if checkpoint.kind == "snapshot":
            return (first, last) if 1 <= first <= last == checkpoint.seq - 1 else None
        case _:
            return None


def _link(
    before: Checkpoint | None, checkpoint: Checkpoint, gaps: dict[int, Gap], ordered: list[Checkpoint]
) -> list[Finding]:
    """Judge how a checkpoint hangs on those before it."""
    last_seq, last_hash = (before.seq, before.hash) if before else (0, GENESIS_HASH)
    found: list[Finding] = []
    if checkpoint.seq > last_seq + 1:
        found.append(_gap(last_seq + 1, checkpoint, gaps.get(last_seq + 1), last_hash))
    skips = skips_of(checkpoint)
    if skips:
        return [*found, *_skip(skips, checkpoint, ordered)]
    if checkpoint.seq == last_seq + 1 and checkpoint.parent_hash != last_hash:
        text = f"checkpoint {checkpoint.seq}: its parent hash is not the hash of checkpoint {last_seq}"
        found.append(_fault(checkpoint.seq, "ChainBroken", text))
    return found


def _gap(first: int, checkpoint: Checkpoint, gap: Gap | None, hash_before: str) -> Finding:
    """Judge checkpoints that are not there: taken by a prune that wrote down both sides, or lost."""
    last = checkpoint.seq - 1
    span = f"checkpoint {first}" if first == last else f"checkpoints {first} to {last}"
    if gap is None or gap.last_seq != last:
        return Finding(first, last, "Missing", f"{span}: not there, and no prune took them", fault=True)
    if (gap.hash_before, gap.hash_after) != (hash_before, checkpoint.hash):
        text = f"{span}: pruned, but the checkpoints beside the gap are not those that the prune saw"
        return Finding(first, last, "ChainBroken", text, fault=True)
    return Finding(first, last, "Pruned", f"{span}: pruned", fault=False)


def _skip(skips: tuple[int, int], checkpoint: Checkpoint, ordered: list[Checkpoint]) -> list[Finding]:
    """Judge a snapshot written after corrupted checkpoints: it must hang on the one before them."""
    first, last = skips
    parent = next((c.hash for c in ordered if c.seq == first - 1), GENESIS_HASH if first == 1 else None)
    if parent is not None and checkpoint.parent_hash != parent:
        text = f"checkpoint {checkpoint.seq}: its parent hash is not the hash of checkpoint {first - 1}"
        return [_fault(checkpoint.seq, "ChainBroken", text)]
    text = f"checkpoints {first} to {last}: found corrupted and left behind by checkpoint {checkpoint.seq}"
    return [Finding(first, last, "Skipped", text, fault=False)]


def _explained(found: list[Finding], ordered: list[Checkpoint]) -> list[Finding]:
    """Take the fault from findings that lie whole inside what a sound snapshot skips."""
    spans = [skips for c in ordered if (skips := skips_of(c)) is not None and is_sealed(c)]
    out: list[Finding] = []
    for f in found:
        known = any(first <= f.first_seq and f.last_seq <= last for first, last in spans)
        out.append(Finding(f.first_seq, f.last_seq, f.reason, f.message, fault=f.fault and not known))
    return sorted(out, key=lambda f: (f.first_seq, f.last_seq))


def _fault(seq: int, reason: Reason, message: str) -> Finding:
    return Finding(seq, seq, reason, message, fault=True)
