"""Where examples and pages are, and how their commands are run: as a user would, in a folder of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.yaml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *EXAMPLES.glob("**/*.md")])
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on its standard output."""
        return json.loads(self.out)


def environment() -> dict[str, str]:
    """The environment with this interpreter's programs first on the path, and no settings of Cairn."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    return own | {"PATH": f"{BIN}{os.pathsep}{own.get('PATH', os.defpath)}"}


def cairn(*args: str, cwd: Path) -> Answer:
    """Run the command line."""
    command = [sys.executable, "-m", "cairn_runtime.cli", *args]
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def apply(name: str, *args: str, cwd: Path) -> Answer:
    """Run an example's manifest where it lies, with the store and all that it writes in `cwd`."""
    return cairn("run", str(EXAMPLES / name / "workflow.yaml"), *args, "-o", "json", cwd=cwd)


def copied(target: Path) -> Path:
    """A copy of all examples, to be changed and run at will; `target` becomes like a clone's root."""
    shutil.copytree(EXAMPLES, target / "examples", ignore=shutil.ignore_patterns("__pycache__", ".cairn"))
    return target


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def on_page(page: Path) -> str:
    """A page's name, as a test's id."""
    return str(page.relative_to(ROOT))
