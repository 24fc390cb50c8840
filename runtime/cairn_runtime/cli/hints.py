"""The next sensible command for a run, spelt out so that it can be pasted: with its input and its store."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn_runtime.errors import CairnError
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.runner.naming import thread_name
from cairn_runtime.store.base import Run
from cairn_runtime.store.opening import safe_url

_LOOKED_AT = 50
"""So many manifests of a folder at most are read for the one that a run came from."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the commands of one run have in common."""

    who: str
    """What names the run."""
    again: str
    """The command that goes on with it."""
    file: str | None = None
    """Its manifest, where that is known."""
    more: str = ""
    """What every command needs at its end: the store, where it was named."""


def store_words(url: str | None) -> str:
    """The end of each command where `--store` was typed; a password stays out, and must be typed again."""
    return f" --store {shlex.quote(safe_url(url))}" if url else ""


def run_command(
    file: str, input_: str | None, settings: Sequence[str], thread: str = "", *, in_process: bool = False
) -> str:
    """`cairn run` as it was typed, without what is meant for once."""
    words = ["cairn", "run", file]
    words += ["--input", input_] if input_ is not None else []
    for setting in settings:
        words += ["--set", setting]
    words += ["--thread", thread] if thread else []
    return shlex.join([*words, *(["--in-process"] if in_process else [])])


def command_to_go_on(run: Run, file: str | None = None) -> str:
    """`cairn run` for a run of which only the row is at hand: its file, and the input that it lacks."""
    found = file or manifest_of(run)
    if found is None:
        return "cairn run FILE"
    own, given = _input(_read(Path(found)) or {}), _input(run.manifest)
    other = {name: value for name, value in given.items() if name not in own or own[name] != value}
    return run_command(found, json.dumps(other, ensure_ascii=False) if other else None, (), thread_name(run))


def manifest_of(run: Run) -> str | None:
    """The one file of the run's folder that holds its Workflow, as a path from here; None if not clear."""
    if run.folder is None:
        return None
    found = [path for path in _manifests(Path(run.folder)) if _same_workflow(_read(path), run.manifest)]
    return _from_here(found[0]) if len(found) == 1 else None


def _manifests(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml", ".json"})[
            :_LOOKED_AT
        ]
    except OSError:
        return []


def _read(path: Path) -> JSONObject | None:
    """A manifest as it stands, if it is one."""
    from cairn_runtime.model.reading import read_manifest  # YAML, for a hint only

    try:
        return read_manifest(path.read_bytes(), source=str(path))
    except (CairnError, OSError):
        return None


def _same_workflow(document: JSONObject | None, other: JSONObject) -> bool:
    return document is not None and document.get("kind") == "Workflow" and _name(document) == _name(other)


def _name(document: JSONObject) -> JSONValue:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return None
    return [metadata.get("namespace", "default"), metadata.get("name")]


def _input(document: JSONObject) -> JSONObject:
    spec = document.get("spec")
    given = spec.get("input") if isinstance(spec, dict) else None
    return given if isinstance(given, dict) else {}


def _from_here(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
