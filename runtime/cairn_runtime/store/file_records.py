"""Lines of the file store's logs: one line is one atomic change of a run.

    0000000412 5f3a90c1 commit 12-13 {"at": ..., "checkpoints": [...], "outcome": ...}<TAB>base64<TAB>base64
    length     crc32    what  seqs   JSON without payloads                              one payload each

Length and checksum are of everything behind them up to the newline.
JSON has no tab and no newline of its own, so both can be cut without parsing.

What a crash tore off has no newline at its end; a whole line whose checksum is wrong was damaged later.
A damaged line is not passed over: as long as it can be read, it is (damage inside a payload is the codec's to
find); where it cannot, its checkpoints stand as damaged ones, for whoever folds or verifies the run to see.

`replay` turns lines into a ledger. Pure: no I/O.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import crc32
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import orjson

from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Checkpoint, Fence, Gap, NewRun, NewSignal, Outcome, Phase, Signal
from cairn_runtime.store.ledger import Ledger
from cairn_runtime.store.rows import moment_in, moment_out, origin_in, origin_out, wait_in, wait_out

_PREFIX = 20
_LINE = re.compile(rb"([a-z]+) \d+-\d+ (\{[^\t]*\})((?:\t[^\t]*)*)$", re.DOTALL)
_SPAN = re.compile(rb"(?:commit|copy) (\d{1,12})-(\d{1,12}) ")
_MAX_LOST = 10_000
"""Damaged checkpoints that one line may stand for; more is damage in the numbers themselves."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER = (
    *("seq", "id", "parent", "hash", "epoch", "write", "kind", "step", "visit", "item", "next", "metadata"),
    *("at", "format", "graph", "digest", "size"),
)
_PHASES = frozenset(get_args(Phase))
_ROW = ("epoch", "claim_id", "runner", "head_seq", "head_id", "head_hash", "phase", "reason", "message")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could be read; `intact` tells whether its checksum was right."""

    kind: str
    body: dict[str, Any]
    payloads: tuple[tuple[int, int], ...]
    """Where each payload's text stands within the line: offset and length."""
    intact: bool


class Damaged(ValueError):
    """A line does not say what a line can say; `first` and `last` are the seqs that it stands for, or 0."""

    def __init__(self, problem: str, first: int = 0, last: int = 0) -> None:
        self.first, self.last = first, last
        super().__init__(problem)


def line_of(
    kind: str, body: Mapping[str, object], payloads: Sequence[bytes] = (), *, span: tuple[int, int] = (0, 0)
) -> bytes:
    """Write a line; `payloads` are base64 text already, `span` the seqs of a commit."""
    parts = [b"%b %d-%d %b" % (kind.encode(), *span, orjson.dumps(body)), *payloads]
    rest = b"\t".join(parts)
    return b"%010d %08x %b\n" % (len(rest), crc32(rest), rest)


def read_line(raw: bytes) -> Line:
    """Read a line, without its newline. Raises `Damaged`."""
    match = _LINE.match(raw, _PREFIX)
    if match is None:
        raise _lost(raw, "it has not the form of a line")
    kind, body, payloads = match.groups()
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _lost(raw, f"its JSON cannot be read ({error.msg})") from error
    places = []
    at = match.start(3)
    for text in payloads.split(b"\t")[1:]:
        places.append((at + 1, len(text)))
        at += 1 + len(text)
    rest = raw[_PREFIX:]
    intact = raw[:_PREFIX] == b"%010d %08x " % (len(rest), crc32(rest))
    return Line(kind.decode(), parsed, tuple(places), intact)


def create_line(new: NewRun, now: datetime) -> bytes:
    """The first line of a run."""
    return line_of("create", _created(new, now))


def _created(new: NewRun, now: datetime) -> dict[str, object]:
    return {
        "at": to_wire(now),
        "run": _new_out(new),
        "manifest": new.manifest,
        "annotations": new.annotations,
    }


def claim_line(claim_id: str, runner: str, now: datetime) -> bytes:
    """A claim."""
    return line_of("claim", {"at": to_wire(now), "claim": claim_id, "runner": runner})


def commit_line(
    write_id: str, checkpoints: Sequence[Checkpoint], outcome: Outcome | None, now: datetime
) -> bytes:
    """A commit, with its payloads behind it."""
    body = {
        "at": to_wire(now),
        "write": write_id,
        "checkpoints": [_header_out(row) for row in checkpoints],
        "outcome": None if outcome is None else _outcome_out(outcome),
    }
    span = (checkpoints[0].seq, checkpoints[-1].seq) if checkpoints else (0, 0)
    return line_of("commit", body, [b64encode(row.payload or b"") for row in checkpoints], span=span)


def import_line(new: NewRun, fence: Fence, now: datetime) -> bytes:
    """The first line of a run that comes from another store."""
    return line_of("import", {**_created(new, now), "epoch": fence.epoch, "claim": fence.claim_id})


def copy_line(checkpoints: Sequence[Checkpoint], gaps: Sequence[Gap], now: datetime) -> bytes:
    """Checkpoints as another store had them, with their payloads behind, and the gaps between them."""
    body = {
        "at": to_wire(now),
        "checkpoints": [_header_out(row) for row in checkpoints],
        "gaps": _gaps_out(gaps),
    }
    span = (checkpoints[0].seq, checkpoints[-1].seq)
    return line_of("copy", body, [b64encode(row.payload or b"") for row in checkpoints], span=span)


def send_line(signal: NewSignal, now: datetime) -> bytes:
    """A signal."""
    return line_of("send", _signal_out(now, signal))


def note_line(changes: JSONObject) -> bytes:
    """Notes beside the run, set or taken away."""
    return line_of("note", {"changes": changes})


def pin_line(seq: int, *, pinned: bool) -> bytes:
    """A pin, set or let go."""
    return line_of("pin", {"seq": seq, "pinned": pinned})


def hold_line(seq: int, child: str, now: datetime) -> bytes:
    """A hold of a fork on its origin."""
    return line_of("hold", {"at": to_wire(now), "seq": seq, "child": child})


def release_line(children: Sequence[str]) -> bytes:
    """Holds let go."""
    return line_of("release", {"children": list(children)})


def state_line(ledger: Ledger) -> bytes:
    """Everything of a run but its checkpoints: the beginning of a log that was written anew."""
    new = ledger.new
    body: dict[str, object] = {name: getattr(ledger, name) for name in _ROW}
    body |= {
        "run": _new_out(new),
        "manifest": orjson.loads(ledger.manifest),
        "annotations": orjson.loads(ledger.annotations),
        "deleted": ledger.deleted,
        "created": to_wire(ledger.created_at),
        "updated": to_wire(ledger.updated_at),
        "alive": moment_out(ledger.alive_at),
        "waits": [wait_out(wait) for wait in ledger.waits],
        "wake": moment_out(ledger.wake_at),
        "checkpoints": ledger.checkpoints,
        "bytes": ledger.bytes,
        "rowWrites": sorted(ledger.row_writes),
        "signals": [_signal_out(s.created_at, s) for s in ledger.signals.values()],
        "consumed": sorted(ledger.consumed),
        "pins": sorted(ledger.pins),
        "holds": [[seq, child, to_wire(at)] for (seq, child), at in ledger.holds.items()],
        "gaps": _gaps_out(ledger.gaps),
    }
    return line_of("state", body)


def _gaps_out(gaps: Sequence[Gap]) -> list[list[object]]:
    return [[gap.first_seq, gap.last_seq, gap.hash_before, gap.hash_after] for gap in gaps]


def keep_line(row: Checkpoint, payload: bytes) -> bytes:
    """A checkpoint in a log that was written anew; `payload` is its base64 text."""
    return line_of("keep", _header_out(row), [payload], span=(row.seq, row.seq))


def replay(ledger: Ledger | None, run_id: str, line: Line) -> Ledger:
    """Apply a line to what the lines before it made. Raises `Damaged`."""
    try:
        return _replay(ledger, run_id, line)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Damaged(f"its content makes no sense ({error})") from error


def lost_rows(ledger: Ledger, run_id: str, last: int) -> None:
    """Stand damaged checkpoints where the log lost them, from the head up to `last`."""
    for seq in range(ledger.head_seq + 1, last + 1):
        identity = (run_id, seq, f"damaged-{run_id}-{seq}", "", "", 0, "", "delta")
        rest = ("", 0, None, (), {"damaged": True}, _EPOCH, 0, "", "", 0, None)
        ledger.rows[seq] = row = Checkpoint._make((*identity, *rest))
        ledger.head_seq, ledger.head_id, ledger.head_hash = seq, row.id, ""
        ledger.checkpoints += 1


def _replay(ledger: Ledger | None, run_id: str, line: Line) -> Ledger:
    body = line.body
    match line.kind:
        case "create":
            return Ledger.begin(_new_in(run_id, body), from_wire(body["at"]))
        case "import":
            fence = Fence(body["epoch"], body["claim"])
            return Ledger.begin_import(_new_in(run_id, body), fence, from_wire(body["at"]))
        case "state":
            return _state_in(run_id, body)
    if ledger is None:
        raise Damaged("nothing was created before it")
    match line.kind:
        case "commit":
            _replay_commit(ledger, run_id, body)
        case "copy":
            rows = [_header_in(run_id, raw) for raw in body["checkpoints"]]
            ledger.apply_import(rows, [Gap(*gap) for gap in body["gaps"]], from_wire(body["at"]))
        case "keep":
            row = _header_in(run_id, body)
            ledger.rows[row.seq] = row
        case "claim":
            ledger.apply_claim(body["claim"], body["runner"], from_wire(body["at"]))
        case "send":
            ledger.apply_send(_signal_in(body), from_wire(body["at"]))
        case "note":
            ledger.apply_annotate(body["changes"])
        case _:
            _replay_keeping(ledger, line)
    return ledger


def _replay_keeping(ledger: Ledger, line: Line) -> None:
    body = line.body
    match line.kind:
        case "pin":
            ledger.apply_pin(body["seq"], pinned=body["pinned"])
        case "hold":
            ledger.holds.setdefault((body["seq"], body["child"]), from_wire(body["at"]))
        case "release":
            for child in body["children"]:
                ledger.apply_release(child)
        case kind:
            raise Damaged(f'there are no lines "{kind}"')


def _replay_commit(ledger: Ledger, run_id: str, body: dict[str, Any]) -> None:
    rows = [_header_in(run_id, raw) for raw in body["checkpoints"]]
    outcome = None if body["outcome"] is None else _outcome_in(body["outcome"])
    now = from_wire(body["at"])
    if rows:
        first, last = rows[0].seq, rows[-1].seq
        if [row.seq for row in rows] != list(
            range(first, last + 1)
        ) or not 0 < first - ledger.head_seq < _MAX_LOST:
            raise Damaged(f"its checkpoints {first}-{last} do not follow {ledger.head_seq}", first, last)
        # Whole lines are only missing here where damage made them unreadable.
        lost_rows(ledger, run_id, first - 1)
    ledger.apply_commit(body["write"], rows, outcome, now)


def _lost(raw: bytes, problem: str) -> Damaged:
    """Say which checkpoints a line stood for that cannot be read, if that much can."""
    span = _SPAN.search(raw, 0, 64)
    first, last = (int(span[1]), int(span[2])) if span else (0, 0)
    return Damaged(problem, first, last) if 0 < first <= last < first + _MAX_LOST else Damaged(problem)


def _header_out(row: Checkpoint) -> dict[str, object]:
    columns = (*row[1:11], list(row.next), row.metadata, to_wire(row.created_at), *row[14:18])
    return dict(zip(_HEADER, columns, strict=True))


def _header_in(run_id: str, raw: dict[str, Any]) -> Checkpoint:
    columns = [raw[name] for name in _HEADER]
    columns[10] = tuple(columns[10])
    columns[12] = from_wire(columns[12])
    if type(columns[0]) is not int or type(columns[16]) is not int or type(columns[11]) is not dict:
        raise Damaged("a header has columns of other types")
    return Checkpoint._make((run_id, *columns, None))


def _outcome_out(outcome: Outcome) -> JSONObject:
    return {
        "phase": outcome.phase,
        "reason": outcome.reason,
        "message": outcome.message,
        "waits": [wait_out(wait) for wait in outcome.waits],
        "wake": moment_out(outcome.wake_at),
        "consumed": list(outcome.consumed),
    }


def _outcome_in(raw: dict[str, Any]) -> Outcome:
    if raw["phase"] not in _PHASES:
        raise Damaged(f"there is no phase {raw['phase']!r}")
    return Outcome(
        phase=raw["phase"],
        reason=raw["reason"],
        message=raw["message"],
        waits=tuple(wait_in(wait) for wait in raw["waits"]),
        wake_at=moment_in(raw["wake"]),
        consumed=tuple(raw["consumed"]),
    )


def _new_out(new: NewRun) -> JSONObject:
    return {
        "workflow": new.workflow,
        "thread": new.thread,
        "graph": new.graph_hash,
        "keyBase": new.key_base,
        "folder": new.folder,
        "origin": origin_out(new.origin),
        "trace": new.trace_id,
        "spec": new.spec_version,
    }


def _new_in(run_id: str, body: dict[str, Any]) -> NewRun:
    raw = body["run"]
    return NewRun(
        run_id=run_id,
        workflow=raw["workflow"],
        manifest=body["manifest"],
        graph_hash=raw["graph"],
        key_base=raw["keyBase"],
        thread=raw["thread"],
        folder=raw["folder"],
        origin=origin_in(raw["origin"]),
        trace_id=raw["trace"],
        spec_version=raw["spec"],
        annotations=body.get("annotations", {}),
    )


def _signal_out(at: datetime, signal: NewSignal | Signal) -> JSONObject:
    return {
        "at": to_wire(at),
        "name": signal.name,
        "value": signal.value,
        "client": signal.client_id,
        "wait": signal.wait,
    }


def _signal_in(raw: dict[str, Any]) -> NewSignal:
    return NewSignal(raw["name"], raw["value"], raw["client"], raw["wait"])


def _state_in(run_id: str, body: dict[str, Any]) -> Ledger:
    ledger = Ledger.begin(_new_in(run_id, body), from_wire(body["created"]))
    for name in _ROW:
        setattr(ledger, name, body[name])
    for raw in body["signals"]:
        ledger.apply_send(_signal_in(raw), from_wire(raw["at"]))
    ledger.deleted = body["deleted"]
    ledger.updated_at, ledger.alive_at = from_wire(body["updated"]), moment_in(body["alive"])
    ledger.waits, ledger.wake_at = tuple(wait_in(wait) for wait in body["waits"]), moment_in(body["wake"])
    ledger.checkpoints, ledger.bytes = body["checkpoints"], body["bytes"]
    ledger.row_writes, ledger.consumed = set(body["rowWrites"]), set(body["consumed"])
    ledger.pins = set(body["pins"])
    ledger.holds = {(seq, child): from_wire(at) for seq, child, at in body["holds"]}
    ledger.gaps = [Gap(*gap) for gap in body["gaps"]]
    return ledger
