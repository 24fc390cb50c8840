"""Proving a history: what the chain says, what the payloads say, and whether every state can be folded.

    chain     every header is what was written, and each hangs on the one before (`store.chain`)
    payloads  every payload decodes, and its digest is the one in the chain; without keys those that are
              encrypted are counted and not read
    folding   every checkpoint's events fit the state before it, and a snapshot is what they fold to

A hash that was noted elsewhere may be expected on top (`expecting`): alone what is outside of the store tells
that a whole history was rolled back.
What a prune took or a later snapshot left behind is explained, and no fault.
Reads only; a run that goes on meanwhile is proved up to the head that was there when it began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cairn_runtime.cli.expecting import Expected, judge
from cairn_runtime.cli.finding import the_run
from cairn_runtime.cli.histories import checkpoints_of
from cairn_runtime.cli.inputs import refuse
from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views import shapes
from cairn_runtime.cli.views.texts import plain
from cairn_runtime.cli.views.units import counted
from cairn_runtime.engine.apply import apply
from cairn_runtime.engine.fold import fold_one, read_payload
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED, CheckpointNotFound, Fault, KeyMissing, PayloadError
from cairn_runtime.model.ids import short_id
from cairn_runtime.model.values import JSONObject
from cairn_runtime.runner.naming import all_runs, workflow_name
from cairn_runtime.store.base import Checkpoint, Run, Store
from cairn_runtime.store.chain import Finding, explain, skips_of, verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.keys import codec_from_environment


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found in one run's history."""

    run: Run
    checkpoints: int
    findings: Sequence[Finding]
    head: Checkpoint | None = None
    """The newest checkpoint that was proved, as a header."""
    unread: int = 0
    """Checkpoints of which only the header was proved, because nobody gave the keys."""

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written, or explained."""
        return not any(finding.fault for finding in self.findings)


async def verify(output: Output, url: str | None, who: str, expected: Expected | None = None) -> int:
    """Prove one run's history, or all; the exit code is 1 where something is wrong.

    Raises:
        InvalidInput: a hash is expected, and of no run.
    """
    if expected is not None and not who:
        refuse("--expect", "name the run whose history must hold it")
    async with existing_store(url) as store:
        runs = [await the_run(store, who)] if who else [run async for run in all_runs(store)]
        proofs = [await prove(store, run, expected) for run in runs]
    sound = all(proof.sound for proof in proofs)
    if output.for_people:
        output.text(line for proof in proofs for line in _lines(proof, named=bool(who)))
        if not proofs:
            output.note("no runs yet; nothing to verify")
    else:
        output.document(_document(proofs, sound=sound))
    return EXIT_DONE if sound else EXIT_FAILED


async def prove(store: Store, run: Run, expected: Expected | None = None) -> Proof:
    """Walk a run's history from its beginning; it must hold the expected hash."""
    headers = [row async for row in checkpoints_of(store, run.run_id)]
    headers.reverse()
    # A prune may come between the two calls: gaps read last explain what is missing in the list.
    found = verify_history(headers, await store.gaps(run.run_id))
    found += _head_findings(run, headers)
    codec = codec_from_environment()
    folding = _Folding(codec)
    unread = 0
    for header in headers:
        try:
            folding.take(await store.checkpoint(header.id))
        except CheckpointNotFound:
            folding.lose()
        except PayloadError as error:
            if isinstance(error, KeyMissing) and codec.keys is None:
                unread += 1
                folding.lose()
                continue
            text = f"checkpoint {header.seq}: {error.message}"
            folding.found.append(Finding(header.seq, header.seq, "PayloadUnusable", text, fault=True))
            folding.lose()
    findings = _once(explain([*found, *folding.found], headers))
    missed = None if expected is None else judge(expected, headers)
    if missed is not None:
        findings.append(missed)
    return Proof(run, len(headers), findings, headers[-1] if headers else None, unread)


def _head_findings(run: Run, headers: Sequence[Checkpoint]) -> list[Finding]:
    """The row must name the newest checkpoint; one that came since is none of this walk's business."""
    last = headers[-1] if headers else None
    if last is None or last.seq < run.head_seq:
        first = last.seq + 1 if last else 1
        if run.head_seq:
            text = f"checkpoints {first} to {run.head_seq}: the run's row names them, and they are not there"
            return [Finding(first, run.head_seq, "Missing", text, fault=True)]
    elif last.seq == run.head_seq and (last.id, last.hash) != (run.head_id, run.head_hash):
        text = f"checkpoint {last.seq}: the run's row names another one as its head"
        return [Finding(last.seq, last.seq, "ChainBroken", text, fault=True)]
    return []


class _Folding:
    """Folds checkpoint after checkpoint; where one is missing it begins again at the next snapshot."""

    def __init__(self, codec: Codec) -> None:
        self.found: list[Finding] = []
        self._codec = codec
        self._state: RunState | None = None
        self._seq = 0

    def lose(self) -> None:
        """Forget the state: what follows cannot be folded from it."""
        self._state = None

    def take(self, row: Checkpoint) -> None:
        """Fold one more.

        Raises:
            PayloadError: its payload cannot be used.
        """
        follows = self._state is not None and row.seq == self._seq + 1 and skips_of(row) is None
        before = self._state if follows else RunState() if row.seq == 1 else None
        self._seq = row.seq
        if row.kind == "snapshot":
            self._take_snapshot(row, before if follows else None)
        elif before is not None:
            self._state = fold_one(before, row, self._codec)
        else:
            read_payload(row, self._codec)
            self._state = None

    def _take_snapshot(self, row: Checkpoint, before: RunState | None) -> None:
        """Compare a snapshot with what its own events fold to, where the checkpoint before is known."""
        data = read_payload(row, self._codec)
        self._state = fold_one(RunState(), row, self._codec)
        if before is None:
            return
        if not _fits(before, data) or before.to_json() != self._state.to_json():
            text = f"checkpoint {row.seq}: its snapshot is not what its history folds to"
            self.found.append(Finding(row.seq, row.seq, "PayloadUnusable", text, fault=True))


def _fits(state: RunState, data: JSONObject) -> bool:
    events = data["events"]
    try:
        for event in events if isinstance(events, list) else []:
            apply(state, event)  # type: ignore[arg-type] # whatever does not fit raises
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return False
    return True


def _once(found: Iterable[Finding]) -> list[Finding]:
    """One finding for each place: an altered header makes its payload unusable too."""
    out: dict[tuple[int, int], Finding] = {}
    for finding in found:
        out.setdefault((finding.first_seq, finding.last_seq), finding)
    return list(out.values())


def _lines(proof: Proof, *, named: bool) -> list[str]:
    """What was found; of a run that was named, and is sound, also its head: to be noted elsewhere."""
    run = proof.run
    verdict = f"{counted(proof.checkpoints, 'checkpoint')}, {'sound' if proof.sound else 'NOT SOUND'}"
    title = f"{workflow_name(run)}, run {short_id(run.run_id)}: {verdict}"
    if proof.unread:
        title += (
            f" (headers only: {counted(proof.unread, 'payload')} encrypted, and CAIRN_KEYS_FILE is not set)"
        )
    head = proof.head if named and proof.sound else None
    return [
        title,
        *([f"  head {head.seq}:{head.hash}"] if head is not None else []),
        *(f"  {'!' if f.fault else '·'} {plain(f.message)}" for f in proof.findings),
    ]


def _document(proofs: Sequence[Proof], *, sound: bool) -> JSONObject:
    out: JSONObject = {
        "sound": sound,
        "runs": [
            {
                "run": proof.run.run_id,
                "workflow": workflow_name(proof.run),
                "checkpoints": proof.checkpoints,
                "head": None if proof.head is None else _head_shape(proof.head),
                "sound": proof.sound,
                "unread": proof.unread,
                "findings": [_shape(finding) for finding in proof.findings],
            }
            for proof in proofs
        ],
    }
    if not sound:
        faults = [
            Fault(f"{proof.run.run_id}/{f.first_seq}", f.message)
            for proof in proofs
            for f in proof.findings
            if f.fault
        ]
        out["error"] = shapes.error_shape("HistoryUnsound", "a history is not what was written", faults)
    return out


def _head_shape(head: Checkpoint) -> JSONObject:
    return {"seq": head.seq, "id": head.id, "hash": head.hash}


def _shape(finding: Finding) -> JSONObject:
    return {
        "first": finding.first_seq,
        "last": finding.last_seq,
        "reason": finding.reason,
        "message": finding.message,
        "fault": finding.fault,
    }
