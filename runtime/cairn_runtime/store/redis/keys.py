"""The names of the keys: a run's own, in one slot, and those that belong to the whole store.

    cairn:{RUN}:row        hash     the row and its notes
    cairn:{RUN}:log        stream   SEQ-0: kind, header
    cairn:{RUN}:payloads   hash     SEQ: bytes
    cairn:{RUN}:ids        hash     id of a checkpoint: SEQ
    cairn:{RUN}:signals    hash     all ever sent: c:CLIENT, n:NUMBER
    cairn:{RUN}:pending    hash     NUMBER of a signal that is not used up: the wait that it answers
    cairn:{RUN}:writes     set      write_ids of commits without checkpoints
    cairn:{RUN}:progress   hash     TASK: bytes
    cairn:{RUN}:marks      hash     p:SEQ, h:SEQ:CHILD, gaps, rev
    cairn:{RUN}:held       set      runs of which this one holds a checkpoint

    cairn:runs             sorted   all runs by age, a hint
    cairn:store            hash     the version of the schema
    cairn:audit            hash     last, hash, n:NUMBER: a line, i:ID: its number

Payloads lie beside the stream, not in it: a stream gives memory back only when all entries of a node are
gone, and a listing would read them all.
Scripts get the keys of a run in the order of `PARTS`.
Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from cairn_runtime.store.redis.replies import packed

PARTS = ("row", "log", "payloads", "ids", "signals", "pending", "writes", "progress", "marks", "held")
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of one run."""

    row: bytes
    log: bytes
    payloads: bytes
    ids: bytes
    signals: bytes
    pending: bytes
    writes: bytes
    progress: bytes
    marks: bytes
    held: bytes
    all_packed: bytes
    """All of them as arguments of a script, ready to be sent."""


class Keys:
    """The names of all keys of a store."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[str, RunKeys] = {}
        self.store = f"{prefix}store".encode()
        self.runs = f"{prefix}runs".encode()
        self.audit = f"{prefix}audit".encode()
        self.any_row = f"{prefix}{{*}}:row".encode()
        """A pattern for the rows of all runs."""

    def of(self, run_id: str) -> RunKeys:
        """The keys of a run."""
        known = self._known.get(run_id)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            names = {part: f"{self._prefix}{{{run_id}}}:{part}".encode() for part in PARTS}
            known = self._known[run_id] = RunKeys(**names, all_packed=packed(names.values()))
        return known

    def run_of(self, row: bytes) -> str:
        """The run that a row's key belongs to."""
        return row.decode()[len(self._prefix) + 1 : -len("}:row")]
