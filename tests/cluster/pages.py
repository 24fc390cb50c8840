"""What a page tells its reader to type, typed: the commands of its console blocks, in their order.

Names that a test cannot have are replaced as whole words, and nothing else of a line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import output

LINE_SECONDS = 150


def commands(page: Path, heading: str = "") -> list[str]:
    """What is typed in a page, or under one heading of it."""
    text = page.read_text()
    if heading:
        _, found, text = text.partition(f"\n{heading}\n")
        assert found, f"{page.name} has no heading {heading}"
        text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert lines, f"nothing is typed under {heading or page.name}"
    return lines


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a shell, a kubeconfig and a clone, who types what a page says."""

    cluster: Cluster
    folder: Path
    """Where they are."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Words of the page -> what the test has instead."""
    programs: tuple[Path, ...] = ()
    """Programs beside kubectl and those of Cairn."""

    def type(self, *lines: str) -> dict[str, str]:
        """Type lines one after the other; answer what each said, by the line of the page.

        Raises:
            CommandFailed: one of them ended with an error.
        """
        found = (self.cluster.provider.kubectl, Path(sys.executable), *self.programs)
        path = os.pathsep.join([*(str(program.parent) for program in found), os.environ["PATH"]])
        environ = {**self.cluster.environ(), "PATH": path}
        return {
            line: output(
                "/bin/sh", "-c", self._meant(line), environ=environ, folder=self.folder,
                timeout_seconds=LINE_SECONDS,
            )
            for line in lines
        }  # fmt: skip

    def _meant(self, line: str) -> str:
        for name, instead in self.names.items():
            line = re.sub(rf"(?<=[\s=]){re.escape(name)}(?=\s|$)", instead, line)
        return line
