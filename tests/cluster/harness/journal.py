"""What the local cluster changed on this machine, written down before it is changed.

So whatever happens, and also after a crash in the middle of a start, `down` knows what to give back.  A
journal of an earlier boot is worth nothing: its processes, networks and settings went with that boot.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Journal:
    """The notes, in the file they are kept in."""

    file: Path
    boot: str
    processes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> process id and the tick it was started at, which tells it from a later one of the same id."""
    settings: dict[str, str] = field(default_factory=dict)
    """File below /proc/sys -> what was in it before."""
    folders: list[str] = field(default_factory=list)
    """Empty folders that were made to mount something on, outermost first."""
    bridge: bool = False
    """The bridge is ours, and with it the tables of kube-proxy."""
    ready: bool = False
    """The start was completed."""

    @classmethod
    def begin(cls, file: Path) -> Journal:
        """An empty journal, for a cluster that starts now."""
        journal = cls(file, this_boot())
        journal._write()
        return journal

    @classmethod
    def read(cls, file: Path) -> Journal | None:
        """The journal of the cluster that was started last; None if it was ended, or with an earlier boot."""
        try:
            notes = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        journal = cls(file, **notes)
        journal.processes = {name: (pid, tick) for name, (pid, tick) in journal.processes.items()}
        return journal if journal.boot == this_boot() else None

    def note_process(self, name: str, pid: int, tick: int) -> None:
        """A program was started."""
        self.processes[name] = (pid, tick)
        self._write()

    def note_setting(self, file: str, before: str) -> None:
        """A kernel setting will be changed; the first note of it counts."""
        self.settings.setdefault(file, before)
        self._write()

    def note_folder(self, folder: Path) -> None:
        """A folder will be made."""
        self.folders.append(str(folder))
        self._write()

    def note_bridge(self) -> None:
        """The bridge will be made."""
        self.bridge = True
        self._write()

    def note_ready(self) -> None:
        """Everything runs."""
        self.ready = True
        self._write()

    def _write(self) -> None:
        notes = asdict(self)
        del notes["file"]
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(notes, indent=1))
        draft.rename(self.file)


def this_boot() -> str:
    """What tells this boot of the machine from every other."""
    return BOOT_ID.read_text().strip()
