"""All runs of a file store: which logs there are, which are open, and in which one a checkpoint stands.

For one thread. A log is read when it is first asked for and followed from then on; at most `OPEN_RUNS` keep
their files open.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cairn_runtime.errors import CheckpointCorrupted, CheckpointNotFound, RunNotFound
from cairn_runtime.model.ids import new_id
from cairn_runtime.store.file_logs import RunLog
from cairn_runtime.store.ledger import Ledger

log = logging.getLogger(__name__)
OPEN_RUNS = 64
_RUN_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")


def is_folder_name(run_id: str) -> bool:
    """Tell whether a run_id can be the name of a folder, and of no other one."""
    return _RUN_ID.match(run_id) is not None


class RunLogs:
    """The logs under one folder."""

    def __init__(self, folder: Path, *, timeout_seconds: float) -> None:
        self.folder = folder
        self._timeout_seconds = timeout_seconds
        self._logs: dict[str, RunLog] = {}
        self._open: OrderedDict[str, RunLog] = OrderedDict()
        """Runs whose files are open, the least used first."""
        self._opening = new_id()
        self._change = 0
        self._changes: dict[str, tuple[int, object]] = {}
        """Number of each run's last change that `changed` has seen, and the state of the log then."""

    def close(self) -> None:
        """Close all files and forget what was read."""
        for run in self._open.values():
            run.release()
        self._open.clear()
        self._logs.clear()

    def at(self, run_id: str) -> RunLog:
        """Return the log of a run, whether it is there or not."""
        run = self._logs.get(run_id)
        if run is None:
            run = self._logs[run_id] = RunLog(self.folder / run_id)
        return run

    def known(self, run_id: str) -> RunLog:
        """Return the log of a run that has a folder. Raises `RunNotFound`."""
        if run_id not in self._logs and not (is_folder_name(run_id) and (self.folder / run_id).is_dir()):
            raise RunNotFound(run_id)
        return self._used(self.at(run_id))

    def ledger(self, run_id: str) -> Ledger | None:
        """Return what a run's log says now, tombstones too; None for a run that never was."""
        try:
            run = self.known(run_id)
        except RunNotFound:
            return None
        run.refresh()
        return run.ledger

    def rows(self, run_id: str) -> Ledger | None:
        """Return what a run's log says now; None for a run that is not there."""
        ledger = self.ledger(run_id)
        return None if ledger is None or ledger.deleted else ledger

    @contextmanager
    def locked(self, run: RunLog) -> Iterator[None]:
        """Hold a run's lock. Raises `StoreUnavailable`."""
        with self._used(run).locked(timeout_seconds=self._timeout_seconds):
            yield

    @contextmanager
    def locked_with(self, checkpoint_id: str) -> Iterator[tuple[RunLog, int]]:
        """Hold the lock of a checkpoint's run. Raises `CheckpointNotFound`, `StoreUnavailable`."""
        run, _ = self.find(checkpoint_id)
        with self.locked(run):
            seq = run.ids.get(checkpoint_id)
            if seq is None:
                raise CheckpointNotFound(checkpoint_id)
            yield run, seq

    def all(self) -> Iterator[tuple[RunLog, Ledger]]:
        """Read every log as far as it is new, tombstones too; a damaged run is logged and left out."""
        for name in sorted(folder.name for folder in self.folder.iterdir()):
            run = self.at(name)
            run.refresh()
            if name not in self._open:
                run.release()
            try:
                ledger = run.ledger
            except CheckpointCorrupted:
                log.exception("left out a damaged run", extra={"run_id": name})
                continue
            if ledger is not None:
                yield run, ledger

    def changed(self, cursor: str) -> tuple[list[str], str]:
        """Name the runs whose log changed since the cursor, as this opening has seen it.

        There is no count of changes that all processes share: it would be a lock that all writers share.
        """
        origin, _, number = cursor.rpartition(":")
        since = int(number) if origin == self._opening and number.isdigit() else 0
        for run, _ledger in self.all():
            if self._changes.get(run.run_id, (0, None))[1] != run.seen:
                self._change += 1
                self._changes[run.run_id] = (self._change, run.seen)
        found = sorted((change, run_id) for run_id, (change, _) in self._changes.items() if change > since)
        return [run_id for _, run_id in found], f"{self._opening}:{self._change}"

    def holder_of(self, checkpoint_id: str) -> RunLog | None:
        """Find the run of a checkpoint among those that were read."""
        return next((run for run in self._logs.values() if checkpoint_id in run.ids), None)

    def find(self, checkpoint_id: str) -> tuple[RunLog, int]:
        """Find a checkpoint by its id: first where it was, then everywhere. Raises `CheckpointNotFound`."""
        run = self.holder_of(checkpoint_id)
        if run is not None:
            run.refresh()
        if run is None or checkpoint_id not in run.ids:
            run = next((run for run, _ in self.all() if checkpoint_id in run.ids), None)
        if run is None:
            raise CheckpointNotFound(checkpoint_id)
        self._used(run).refresh()
        seq = run.ids.get(checkpoint_id)
        if seq is None:
            raise CheckpointNotFound(checkpoint_id)
        return run, seq

    def _used(self, run: RunLog) -> RunLog:
        """Keep the files of the runs open that are used, and not of all."""
        self._open[run.run_id] = run
        self._open.move_to_end(run.run_id)
        if len(self._open) > OPEN_RUNS:
            self._open.popitem(last=False)[1].release()
        return run
