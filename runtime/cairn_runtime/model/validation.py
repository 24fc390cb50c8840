"""Whether a Workflow can be accepted: every fault at once, each with its path, and warnings.

The same list of faults, word for word, is what the command line prints, what the operator puts into the
condition `Accepted`, and what the tests compare.
Shapes come from the models; the checks of `model.checks` see more than one field, and also run where the
models found faults.
Pure: code that the checks may look at comes in as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.checks import channels, code, conditions, conflicts, graph, settings, steps
from cairn_runtime.model.checks.shapes import read_workflow
from cairn_runtime.model.outline import Outline
from cairn_runtime.model.schema_costs import Allowance
from cairn_runtime.model.values import JSONObject, NotJSON, jsonify
from cairn_runtime.model.workflow import KIND, Workflow

Check = Callable[[Outline], Iterator[Fault]]

_FAULTS: tuple[Check, ...] = (
    settings.thread,
    settings.delays,
    settings.interval,
    settings.pod,
    steps.kinds,
    steps.duplicate_names,
    steps.unknown_steps,
    steps.repeated_names,
    steps.changed_starts,
    steps.branches,
    steps.misplaced_fields,
    graph.cycles,
    graph.unreachable,
    graph.endless,
    channels.reducers,
    channels.reserved_names,
    channels.schemas,
    channels.values,
    channels.collects,
    channels.patches,
    code.file_names,
    code.syntax,
)
_WARNINGS: tuple[Check, ...] = (steps.useless_fields, code.hidden_modules)
_PART = re.compile(r'\[(\d+)\]|([^.\[\]"]+)|"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with a manifest; `workflow` is there exactly if nothing is."""

    workflow: Workflow | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def validate(
    document: JSONObject,
    *,
    sources: Mapping[str, str] | None = None,
    limited: bool = True,
    bounded: bool = False,
) -> Report:
    """Judge a manifest.

    Args:
        document: the manifest as JSON.
        sources: texts of the Python files beside the manifest by file name (`steps.py`, `tools/text.py`), so
            that functions can be looked up; they are parsed, never run.
        limited: whether more than 500 steps and more than 256 KiB are faults; not where the API server has
            bounded the object already, and code was copied into it since.
        bounded: for whoever judges the manifests of others: no warnings, and schemas that may take very long
            are passed over; their run judges them.
    """
    try:
        read = jsonify(document, "")
    except NotJSON as error:
        return _refused(Fault(error.path.lstrip("."), error.problem))
    if not isinstance(read, dict):
        return _refused(Fault("", "a manifest is a mapping of apiVersion, kind, metadata and spec"))
    workflow, shapes = read_workflow(read)
    if read.get("kind") not in (KIND, None):
        # What else is wrong with it as a Workflow says nothing: it is none.
        return Report(None, _sorted(fault for fault in shapes if fault.path in ("apiVersion", "kind")), ())
    outline = Outline(read, complete=workflow is not None, allowance=Allowance() if bounded else None)
    modules = code.Modules(outline, sources or {})
    compiled = conditions.Conditions(outline)
    found = [*shapes]
    found += _besides({fault.path for fault in shapes}, _faults(outline, modules, compiled, limited=limited))
    if found or workflow is None:
        return Report(None, _sorted(found), ())
    return Report(workflow, (), () if bounded else _sorted(_warnings(outline, modules, compiled)))


def parse_workflow(document: JSONObject) -> Workflow:
    """Read a manifest that should be right.

    Raises:
        ManifestInvalid: with all faults.
    """
    report = validate(document)
    if report.workflow is None:
        raise ManifestInvalid(list(report.faults))
    return report.workflow


def _faults(
    outline: Outline, modules: code.Modules, compiled: conditions.Conditions, *, limited: bool
) -> Iterator[Fault]:
    if limited:
        yield from settings.step_count(outline)
        yield from settings.spec_size(outline)
    for check in _FAULTS:
        yield from check(outline)
    yield from compiled.faults
    yield from conditions.unknown_names(outline, compiled)
    yield from code.functions(outline, modules)


def _warnings(outline: Outline, modules: code.Modules, compiled: conditions.Conditions) -> Iterator[Fault]:
    for check in _WARNINGS:
        yield from check(outline)
    yield from conditions.unset_inputs(outline, compiled)
    yield from code.missing_modules(outline, modules)
    yield from conflicts.undeclared_writes(outline, modules)
    yield from conflicts.conflicting_writes(outline, modules)


def _refused(fault: Fault) -> Report:
    return Report(None, (fault,), ())


def _besides(paths: set[str], faults: Iterable[Fault]) -> Iterator[Fault]:
    """Leave out what speaks of a value that was refused already."""
    return (fault for fault in faults if fault.path not in paths)


def _sorted(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Sort by path, positions by number, so that faults come in the order of a list's items."""
    return tuple(sorted(dict.fromkeys(faults), key=_order))


def _order(fault: Fault) -> list[tuple[int, str]]:
    return [(int(m[1]), "") if m[1] else (-1, m[2] or m[3] or "") for m in _PART.finditer(fault.path)]
