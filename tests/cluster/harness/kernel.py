"""Kernel settings that a Kubernetes node needs: written down as they were, set, and given back.

The kubelet would set most of them by itself and tell nobody.
"""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.journal import Journal

SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}


def set_all(journal: Journal) -> None:
    """Set what is otherwise."""
    for name, value in SETTINGS.items():
        file = Path("/proc/sys") / name
        if file.exists() and (before := file.read_text().strip()) != value:
            journal.note_setting(str(file), before)
            file.write_text(value)


def give_back(journal: Journal) -> None:
    """Set everything to what it was."""
    for file, before in journal.settings.items():
        Path(file).write_text(before)
