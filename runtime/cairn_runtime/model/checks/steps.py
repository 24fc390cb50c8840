"""Steps: each has one kind and one name, leads to steps that exist, and sets only what its kind can use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic.alias_generators import to_camel

from cairn_runtime.errors import Fault
from cairn_runtime.model.checks.shapes import ELSEWHERE
from cairn_runtime.model.outline import KINDS, WAITS, Outline
from cairn_runtime.model.suggestions import did_you_mean, nearest
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import Step

_FIELDS = frozenset(to_camel(name) for name in Step.model_fields)


def kinds(outline: Outline) -> Iterator[Fault]:
    """A step without a kind, or with several."""
    for step in outline.steps:
        if len(step.kinds) > 1:
            yield Fault(step.path, f"has {_listed(step.kinds)}; a step has exactly one of them")
        elif not step.kinds and step.raw and not _misspelt_kind(step.raw):
            yield Fault(step.path, f"has no work to do; give it one of {', '.join(KINDS)}")


def duplicate_names(outline: Outline) -> Iterator[Fault]:
    """A name that an earlier step has."""
    for step in outline.steps:
        first = outline.by_name.get(step.name)
        if first is not None and first is not step:
            yield Fault(f"{step.path}.name", f'"{step.name}" is the name of {first.path} too')


def unknown_steps(outline: Outline) -> Iterator[Fault]:
    """A name of a step that does not exist."""
    for path, name in _named(outline):
        if name and name not in outline.by_name:
            yield Fault(path, f'unknown step "{name}"{did_you_mean(name, outline.by_name)}')


def repeated_names(outline: Outline) -> Iterator[Fault]:
    """A step that is named twice in one list, or that needs itself."""
    for step in outline.steps:
        for index, name in enumerate(step.needs):
            if name and name == step.name:
                yield Fault(
                    f"{step.path}.needs[{index}]", "a step cannot need itself; a loop is made with next"
                )
        yield from _twice(f"{step.path}.needs", step.needs)
        yield from _twice(f"{step.path}.goto", step.goto)
    resume = outline.resume
    yield from _twice("spec.resume.steps", resume.steps)
    yield from _twice("spec.resume.skip", resume.skip)
    for index, name in enumerate(resume.skip):
        if name and name in resume.steps:
            yield Fault(
                f"spec.resume.skip[{index}]", f'"{name}" is in spec.resume.steps too; start it or skip it'
            )


def changed_starts(outline: Outline) -> Iterator[Fault]:
    """A run from the beginning that is asked to change what only a checkpoint has."""
    resume = outline.resume
    asked = {
        "asStep": resume.as_step,
        "skip": resume.skip,
        "statePatch": resume.patch,
        "steps": resume.steps,
    }
    for field in (name for name, given in asked.items() if given and resume.checkpoint == "start"):
        problem = "changes a checkpoint, and a run from the start has none"
        advice = "name the run's first checkpoint, or change spec.input in the same change"
        yield Fault(f"spec.resume.{field}", f"{problem}; {advice}")


def branches(outline: Outline) -> Iterator[Fault]:
    """`next` entries that contradict or repeat each other."""
    for step in outline.steps:
        seen: dict[tuple[str, str, bool], str] = {}
        otherwise = ""
        for entry in step.next:
            if entry.otherwise and entry.when:
                yield Fault(
                    entry.path, "has when and otherwise; otherwise fires exactly if no other entry does"
                )
            elif entry.otherwise and otherwise:
                yield Fault(entry.path, f"a second otherwise; {otherwise} is one")
            key = (entry.to, entry.when, entry.otherwise)
            if entry.to and not entry.otherwise and key in seen:
                yield Fault(entry.path, f"says the same as {seen[key]}")
            seen.setdefault(key, entry.path)
            otherwise = otherwise or (entry.path if entry.otherwise else "")


def misplaced_fields(outline: Outline) -> Iterator[Fault]:
    """Fields that the step's kind cannot have."""
    for step in outline.steps:
        if step.foreach is not None and step.kind in WAITS:
            advice = "loop with next, or park inside a python step"
            problem = f"a step that waits ({step.kind}) cannot go through a list; {advice}"
            yield Fault(f"{step.path}.foreach", problem)
        if step.goto and step.kind and step.kind != "python":
            yield Fault(
                f"{step.path}.goto", f"only a python step can call ctx.goto, and this one is {step.kind}"
            )


def useless_fields(outline: Outline) -> Iterator[Fault]:
    """Warnings: fields that change nothing for a step of this kind, and entries that never fire."""
    for step in outline.steps:
        if step.kind in WAITS:
            if step.raw.get("timeout") is not None:
                advice = "" if step.kind == "sleep" else f"; {step.kind}.deadline bounds the wait"
                yield Fault(f"{step.path}.timeout", f"has no effect on a step that only waits{advice}")
            if step.raw.get("retry") is not None:
                yield Fault(f"{step.path}.retry", "has no effect on a step that only waits")
        always = next((entry.path for entry in step.next if not entry.when and not entry.otherwise), "")
        for entry in step.next:
            if entry.otherwise and not entry.when and always:
                yield Fault(entry.path, f"never fires, because {always} always does")


def _named(outline: Outline) -> Iterator[tuple[str, str]]:
    """Iterate every place that names a step."""
    for step in outline.steps:
        yield from ((f"{step.path}.needs[{n}]", name) for n, name in enumerate(step.needs))
        yield from ((f"{entry.path}.to", entry.to) for entry in step.next)
        yield f"{step.path}.catch", step.catch or ""
        yield from ((f"{step.path}.goto[{n}]", name) for n, name in enumerate(step.goto))
    resume = outline.resume
    yield "spec.resume.asStep", resume.as_step
    yield from ((f"spec.resume.steps[{n}]", name) for n, name in enumerate(resume.steps))
    yield from ((f"spec.resume.skip[{n}]", name) for n, name in enumerate(resume.skip))


def _misspelt_kind(raw: JSONObject) -> bool:
    """Whether an unknown field is a kind under a wrong name, which is said already."""
    unknown = (name for name in raw if name not in _FIELDS)
    return any(ELSEWHERE.get(name) in KINDS or nearest(name, _FIELDS) in KINDS for name in unknown)


def _twice(path: str, names: Sequence[str]) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield Fault(f"{path}[{index}]", f'"{name}" is there twice')


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
