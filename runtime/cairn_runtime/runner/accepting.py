"""From whatever a caller has (a path, an object, a model) to an accepted Workflow.

The file's folder goes with it, because that is where its code lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cairn_runtime.errors import Fault, InvalidInput, ManifestInvalid
from cairn_runtime.model.building import Workflow as Built
from cairn_runtime.model.reading import MAX_TEXT_BYTES, read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.model.values import JSONObject, JSONValue, NotJSON, jsonify
from cairn_runtime.model.workflow import Workflow
from cairn_runtime.runner.starting import Accepted


def accept(
    workflow: Built | Workflow | Mapping[str, JSONValue] | Path | str,
    overlay: Mapping[str, object] | None = None,
) -> Accepted:
    """Read and judge a Workflow.

    Args:
        workflow: what was built in Python, a manifest's path, the manifest as a JSON object, or the model.
        overlay: inputs to lay over `spec.input`, name by name.

    Raises:
        ManifestInvalid: with every fault.
        InvalidInput: an input is not JSON.
    """
    folder = None
    if isinstance(workflow, Built):
        document: JSONObject = workflow.manifest()
        folder = workflow.folder
    elif isinstance(workflow, Workflow):
        document = workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
    elif isinstance(workflow, str | Path):
        path = Path(workflow)
        document = read_manifest(_bytes_of(path), source=str(path))
        folder = str(path.absolute().parent)
    else:
        document = dict(workflow)
    if overlay:
        document = with_input(document, overlay)
    report = validate(document)
    if report.workflow is None:
        raise ManifestInvalid(list(report.faults))
    return Accepted(document, report.workflow, folder)


def with_input(document: JSONObject, overlay: Mapping[str, object]) -> JSONObject:
    """Lay inputs over a manifest's own; the document itself stays as it is.

    Raises:
        InvalidInput: an input is not JSON.
    """
    spec = document.get("spec")
    own = spec.get("input", {}) if isinstance(spec, dict) else {}
    if not isinstance(spec, dict) or not isinstance(own, dict):
        return document  # validation says what is wrong with it
    try:
        given = {name: jsonify(value, name) for name, value in overlay.items()}
    except NotJSON as error:
        raise InvalidInput([Fault(f"input.{error.path}", error.problem)]) from None
    return {**document, "spec": {**spec, "input": {**own, **given}}}


def _bytes_of(path: Path) -> bytes:
    """Read a file, one byte more than is allowed at most."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise ManifestInvalid([Fault(str(path), f"cannot be read: {error.strerror or error}")]) from None
