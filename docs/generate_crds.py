"""Write the custom resource definitions under `crds/` from the code, or check that they are what it says.

    python docs/generate_crds.py            writes them
    python docs/generate_crds.py --check    writes nothing; ends with 1 if one differs

What they hold comes from `cairn_operator.resources`: the models' descriptions, limits and rules.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

from cairn_operator.resources.definitions import definitions

FOLDER = Path(__file__).parent.parent / "crds"

_HEAD = "# Written by docs/generate_crds.py from the code; change the code, then run `make docs`.\n"


class _Dumper(yaml.SafeDumper):
    """Writes everything out: no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check the files; answer the exit code."""
    parser = argparse.ArgumentParser(description="Write the custom resource definitions from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file differs")
    check = parser.parse_args(arguments).check
    handle = _same if check else _write
    differs = [name for name, text in files().items() if not handle(folder / name, text)]
    if differs:
        print(f"differs from the code: {', '.join(differs)}; run: make docs", file=sys.stderr)
    return 1 if differs else 0


def files() -> dict[str, str]:
    """Make all files, by name."""
    return {f"{plural}.yaml": _HEAD + as_yaml(definition) for plural, definition in definitions().items()}


def as_yaml(document: dict[str, Any]) -> str:
    """Write a document as people read it: in the order in which it was made, no line too long."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def _same(path: Path, text: str) -> bool:
    """Compare a file with what it should be, and show the difference."""
    found = path.read_text() if path.exists() else ""
    sys.stderr.writelines(
        difflib.unified_diff(
            found.splitlines(keepends=True), text.splitlines(keepends=True), str(path), "the code", n=0
        )
    )
    return found == text


def _write(path: Path, text: str) -> bool:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
