"""The audit of a store: who asked for what, line after line, each hashed over the one before.

    hash = sha256(parent hash + JSON of [number, id, at, who, what, from, to])

Lines are written before what they tell is done, so that nothing is done without a line; the same id again is
the same line. A line says that somebody asked, not that it came off.
The chain proves that no line was changed, taken out or put in between; that the newest ones were cut off it
can only prove to who has kept a later hash. Lines hold ids and names, never values.
Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256

import orjson

from cairn_runtime.errors import Fault, InvalidInput
from cairn_runtime.model.ids import from_wire, to_wire
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import GENESIS_HASH, Entry, NewEntry

_MOST = {"id": 128, "who": 256, "what": 64, "source": 512, "target": 512}


def new_entry(who: str, what: str, act: str, *, source: str = "", target: str = "") -> NewEntry:
    """Make a line of an act; the same act is the same line, however long its name."""
    id_ = f"{what}:{act}"
    if len(id_) > _MOST["id"]:
        id_ = f"{what}:{sha256(act.encode()).hexdigest()}"
    return NewEntry(id_, who[: _MOST["who"]], what, source, target)


def word_for_a_fork(state_patch: JSONObject) -> str:
    """What is asked for where a run goes on from a checkpoint: `resume`, or with another state `patch`."""
    return "patch" if state_patch else "resume"


def check_entry(new: NewEntry) -> None:
    """Refuse what is no line of an audit.

    Raises:
        InvalidInput: a part is too long, holds a zero byte, or is missing.
    """
    faults = [
        Fault(name, f"holds a zero byte, or more than {most} characters")
        for (name, most), text in zip(_MOST.items(), new, strict=True)
        if len(text) > most or "\0" in text
    ]
    faults += [Fault(name, "is missing") for name in ("id", "who", "what") if not getattr(new, name)]
    if faults:
        raise InvalidInput(faults)


def following(last: tuple[int, str] | None, new: NewEntry, at: datetime) -> Entry:
    """Make the line that follows the last one, which is known by number and hash."""
    number, parent = last or (0, GENESIS_HASH)
    entry = Entry(number + 1, new.id, at, new.who, new.what, new.source, new.target, parent, "")
    return entry._replace(hash=_hash(entry))


def verify_entries(entries: Iterable[Entry]) -> Iterator[str]:
    """Walk lines from the first and say what is wrong, line by line."""
    number, parent = 0, GENESIS_HASH
    for entry in entries:
        if entry.number != number + 1:
            yield f"lines {number + 1} to {entry.number - 1} are missing"
        elif entry.parent_hash != parent:
            yield f"line {entry.number} does not follow line {number}"
        if _hash(entry) != entry.hash:
            yield f"line {entry.number} was altered"
        number, parent = entry.number, entry.hash


def entry_out(entry: Entry) -> bytes:
    """Write a line as JSON, for stores that keep text."""
    return orjson.dumps([*entry[:2], to_wire(entry.at), *entry[3:]])


def entry_in(text: bytes | str) -> Entry:
    """Read it. A damaged one raises `ValueError`."""
    columns = orjson.loads(text)
    if not isinstance(columns, list) or len(columns) != len(Entry._fields):
        raise ValueError("is no line of an audit")
    columns[2] = from_wire(columns[2])
    return Entry._make(columns)


def _hash(entry: Entry) -> str:
    number, id_, at, *rest = entry[:7]
    return sha256(entry.parent_hash.encode() + orjson.dumps([number, id_, to_wire(at), *rest])).hexdigest()
