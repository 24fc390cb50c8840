"""The next sensible command for a run, spelt out so that it can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

from cairn_runtime.errors import CairnError
from cairn_runtime.model.values import JSONObject
from cairn_runtime.store.base import Run

_LOOKED_AT = 50
"""So many manifests of a folder at most are read for the one that a run came from."""


def command_to_go_on(run: Run) -> str:
    """`cairn run FILE`, with the file where it can be found again."""
    return f"cairn run {shlex.quote(manifest_of(run) or 'FILE')}"


def manifest_of(run: Run) -> str | None:
    """The one file of the run's folder that holds its Workflow, as a path from here; None if not clear."""
    if run.folder is None:
        return None
    from cairn_runtime.model.reading import read_manifest

    found = []
    for path in _yaml_files(Path(run.folder)):
        try:
            document = read_manifest(path.read_bytes(), source=str(path))
        except (CairnError, OSError):
            continue
        if _same_workflow(document, run.manifest):
            found.append(path)
    return _from_here(found[0]) if len(found) == 1 else None


def _yaml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml", ".json"})[
            :_LOOKED_AT
        ]
    except OSError:
        return []


def _same_workflow(document: JSONObject, other: JSONObject) -> bool:
    return document.get("kind") == "Workflow" and _name(document) == _name(other)


def _name(document: JSONObject) -> object:
    metadata = document.get("metadata")
    return (
        (metadata.get("namespace", "default"), metadata.get("name")) if isinstance(metadata, dict) else None
    )


def _from_here(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
