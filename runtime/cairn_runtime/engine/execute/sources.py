"""Where a run's code lies on disk, and the run's temporary files.

Inline code is written to a private folder; so is what commands are given: the state, the item, the place for
their output. All of it lies under one folder with mode 0700, which goes when the run ends or its runner dies.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cairn_runtime.errors import StepUnusable


@dataclass(frozen=True, slots=True)
class CodeSource:
    """The code of a Workflow.

    `folder` is the manifest's own folder in local mode; `inline` is `spec.code`, text by file name.
    """

    folder: str | None = None
    inline: Mapping[str, str] = field(default_factory=dict)


class Files:
    """The temporary files of one run; made at first need."""

    def __init__(self, source: CodeSource) -> None:
        self._source = source
        self._root: str | None = None
        self._inline: str | None = None
        self._places = 0

    def root(self) -> str:
        """The folder that holds everything else."""
        if self._root is None:
            self._root = tempfile.mkdtemp(prefix="cairn-")
        return self._root

    def code_folders(self) -> list[str]:
        """Folders to import from; inline code first, since it was written for this very Workflow.

        Raises:
            StepUnusable: a file name of inline code leads out of its folder.
            OSError: the disk.
        """
        inline = [self.inline_folder()] if self._source.inline else []
        folder = [] if self._source.folder is None else [str(Path(self._source.folder).absolute())]
        return inline + folder

    def inline_folder(self) -> str:
        """The folder with the inline code, written once."""
        if self._inline is None:
            folder = Path(self.root(), "code")
            for name, text in self._source.inline.items():
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
                    raise StepUnusable(f'spec.code: "{name}" is not a file name inside the code\'s folder')
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
            self._inline = str(folder)
        return self._inline

    def working_folder(self) -> str | None:
        """Where commands run: the code's folder; None if there is no code."""
        if self._source.folder is not None:
            return str(Path(self._source.folder).absolute())
        return self.inline_folder() if self._source.inline else None

    def new_place(self) -> Path:
        """A private folder for one command."""
        self._places += 1
        place = Path(self.root(), str(self._places))
        place.mkdir()
        return place

    def close(self) -> None:
        """Remove everything."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = self._inline = None
