"""Workflow files: from a name on the command line to a valid Workflow, or to all its faults.

Nothing here knows a store; `cairn validate` is this module and the model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from cairn_runtime.cli.outputs import Output
from cairn_runtime.errors import EXIT_DONE, EXIT_USAGE, Fault, ManifestInvalid
from cairn_runtime.model.reading import MAX_TEXT_BYTES, read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Workflow

_MODULE_FILE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*\.py", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file; the Workflow is there where nothing is wrong."""

    source: str
    document: JSONObject | None = None
    workflow: Workflow | None = None
    faults: Sequence[Fault] = ()
    warnings: Sequence[Fault] = ()

    def require(self) -> Workflow:
        """Return the Workflow.

        Raises:
            ManifestInvalid: naming everything that is wrong.
        """
        if self.workflow is None or self.faults:
            raise ManifestInvalid(list(self.faults))
        return self.workflow


def check_file(name: str) -> Checked:
    """Read one file and judge it; `-` is standard input."""
    source = _source(name)
    try:
        _, document = read_file(name)
    except ManifestInvalid as error:
        return Checked(source, faults=error.faults)
    return judge(source, document, folder_of(name))


def read_file(name: str) -> tuple[str, JSONObject]:
    """Read one document, and name where it came from.

    Raises:
        ManifestInvalid: there is none, or it cannot be read.
    """
    source = _source(name)
    return source, read_manifest(_bytes_of(name, source), source=source)


def judge(source: str, document: JSONObject, folder: Path) -> Checked:
    """Judge a document together with the code beside it."""
    report = validate(document, sources=code_beside(document, folder))
    return Checked(source, document, report.workflow, report.faults, report.warnings)


def _source(name: str) -> str:
    return "standard input" if name == "-" else name


def folder_of(name: str) -> Path:
    """The folder that holds a file's code: its own, for standard input this one."""
    return Path.cwd() if name == "-" else Path(name).absolute().parent


def code_beside(document: JSONObject, folder: Path) -> dict[str, str]:
    """Read the Python files beside a manifest that its steps and reducers name, by file name."""
    out: dict[str, str] = {}
    for reference in _references(document):
        file = reference.partition(":")[0].replace(".", "/") + ".py"
        if file in out or not _MODULE_FILE.fullmatch(file):
            continue
        try:
            with (folder / file).open(encoding="utf-8") as opened:
                out[file] = opened.read(MAX_TEXT_BYTES)
        except (OSError, UnicodeDecodeError):
            continue  # installed elsewhere, or in the image: nothing to look at
    return out


def _references(document: JSONObject) -> Iterator[str]:
    """Every `module:function`, out of a document that may be wrong in any way."""
    spec = document.get("spec")
    steps = spec.get("steps") if isinstance(spec, dict) else None
    for step in steps if isinstance(steps, list) else []:
        function = step.get("python") if isinstance(step, dict) else None
        if isinstance(function, str):
            yield function
    state = spec.get("state") if isinstance(spec, dict) else None
    channels = state.get("channels") if isinstance(state, dict) else None
    for channel in channels.values() if isinstance(channels, dict) else []:
        reducer = channel.get("reducer") if isinstance(channel, dict) else None
        if isinstance(reducer, str) and reducer.startswith("python:"):
            yield reducer.removeprefix("python:").strip()


def validate_files(output: Output, names: Sequence[str]) -> int:
    """Check files, and say all that was found; the exit code is 2 where anything is wrong."""
    checked = [check_file(name) for name in names]
    valid = not any(one.faults for one in checked)
    if output.for_people:
        output.text(line for one in checked for line in _lines(one))
    else:
        output.document(_document(checked, valid=valid))
    return EXIT_DONE if valid else EXIT_USAGE


def _bytes_of(name: str, source: str) -> bytes:
    """Read a file, one byte more than is allowed at most: `/dev/zero` must end too.

    Raises:
        ManifestInvalid: it cannot be read.
    """
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        problem = f"no such file{_nearest(Path(name))}"
    except IsADirectoryError:
        problem = f"is a folder; name the file in it{_file_in(Path(name))}"
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except ValueError:
        problem = "is no file's name"
    raise ManifestInvalid([Fault(source, problem)])


def _nearest(missing: Path) -> str:
    """A file beside it with nearly its name, as a hint."""
    try:
        there = [path.name for path in missing.parent.iterdir()]
    except OSError:
        return ""
    close = get_close_matches(missing.name, there, n=1, cutoff=0.8)
    return f"; did you mean {missing.with_name(close[0])}?" if close else ""


def _file_in(folder: Path) -> str:
    """The one manifest that a folder seems to hold, as a hint."""
    found = sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.glob(pattern))
    return f", for example {found[0]}" if len(found) == 1 else ""


def _lines(checked: Checked) -> list[str]:
    """The verdict about one file, faults first."""
    from cairn_runtime.cli.views.texts import plain
    from cairn_runtime.cli.views.units import counted

    if checked.workflow is not None and not checked.faults:
        count = len(checked.workflow.spec.steps)
        title = f"{checked.source}: valid ({checked.workflow.metadata.name}, {counted(count, 'step')})"
    else:
        title = f"{checked.source}: {counted(len(checked.faults), 'fault')}"
    return [
        title,
        *(f"  {plain(_told(fault, checked.source))}" for fault in checked.faults),
        *(f"  warning: {plain(_told(fault, checked.source))}" for fault in checked.warnings),
    ]


def _told(fault: Fault, source: str) -> str:
    """A fault without the file's name, which stands above it."""
    return fault.message if fault.path == source else str(fault)


def _document(checked: Sequence[Checked], *, valid: bool) -> JSONObject:
    from cairn_runtime.cli.views import shapes

    out: JSONObject = {
        "valid": valid,
        "files": [
            {
                "file": one.source,
                "workflow": one.workflow.metadata.name if one.workflow else None,
                "valid": not one.faults,
                "faults": shapes.fault_shapes(one.faults),
                "warnings": shapes.fault_shapes(one.warnings),
            }
            for one in checked
        ],
    }
    if not valid:
        faults = [fault for one in checked for fault in one.faults]
        out["error"] = shapes.error_shape("ManifestInvalid", "\n".join(map(str, faults)), faults)
    return out
