"""Write the pages under `docs/reference/` from the code, or check that they are what the code says.

    python docs/generate.py            writes them
    python docs/generate.py --check    writes nothing; ends with 1 if a page differs

`workflow.md` comes from the models of the manifest, `errors.md` from the tree of errors.
A field's description is its text here and in `kubectl explain`: mend it in the model.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any

from cairn_runtime import errors
from cairn_runtime.model.checks.shapes import pattern_words
from cairn_runtime.model.durations import format_duration
from cairn_runtime.model.workflow import Workflow

REFERENCE = Path(__file__).parent / "reference"

_SAME = "Written by `docs/generate.py` from the code; change the code, then run `make docs`."
_WORKFLOW_HEAD = f"""# The Workflow, field by field

{_SAME}

One file holds one Workflow, as YAML or JSON, read as kubectl reads it.
A field that is not listed here is refused, and a field that is null counts as left out.
A *duration* is text such as `100ms`, `30s`, `5m`, `1h30m` or `7d`, at most ten years; only `baseDelay` and \
`terminationGracePeriod` may be `0s`.
An *expression* is [CEL](https://cel.dev) over `state`, `visits`, `input` and, in the `when` of a foreach, \
`item`; it may be 1,024 characters long and 32 levels deep.
A Workflow has at most 500 steps, and its spec at most 256 KiB as JSON.
"""
_ERRORS_HEAD = f"""# Errors

{_SAME}

Every error has a *reason*: the word that stands in conditions, in `-o json` and in logs.
*Tried again* says whether the same may succeed later without anybody changing anything.
The exit code is what `cairn` and the runner end with.

## Exit codes
"""
_EXITS = {
    errors.EXIT_DONE: "done; for a runner also parked or drained",
    errors.EXIT_FAILED: "the run failed",
    errors.EXIT_USAGE: "bad usage or an invalid manifest",
    errors.EXIT_PARKED: "the run waits for an answer",
    errors.EXIT_NOT_FOUND: "nothing has this name",
    errors.EXIT_STORE_UNAVAILABLE: "the store does not answer; try again",
    errors.EXIT_SUPERSEDED: "another process holds the run",
    errors.EXIT_CONFIG: "bad configuration, or a newer release is needed",
    errors.EXIT_INTERRUPTED: "interrupted; the run can go on",
}


def main(arguments: list[str], folder: Path = REFERENCE) -> int:
    """Write or check the pages; answer the exit code."""
    parser = argparse.ArgumentParser(description="Write the reference pages from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a page differs")
    check = parser.parse_args(arguments).check
    handle = _same if check else _write
    differs = [name for name, text in pages().items() if not handle(folder / name, text)]
    if differs:
        print(f"differs from the code: {', '.join(differs)}; run: make docs", file=sys.stderr)
    return 1 if differs else 0


def pages() -> dict[str, str]:
    """Make all pages, by file name."""
    return {"workflow.md": workflow_page(), "errors.md": errors_page()}


def _same(path: Path, text: str) -> bool:
    """Compare a page with what it should be, and show the difference."""
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


# -- the Workflow -------------------------------------------------------------------------------------------


def workflow_page() -> str:
    """Make the page of the manifest: a section for each object, a row for each field."""
    schema = Workflow.model_json_schema(by_alias=True)
    _give_titles(schema, schema)
    sections: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for path, model in _models(schema, schema, ""):
        places, _ = sections.setdefault(model["title"], ([], model))
        places.append(path)
    parts = [_WORKFLOW_HEAD]
    parts += [_section(name, places, model, schema) for name, (places, model) in sections.items()]
    return "\n".join(parts)


def _models(model: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate the objects with fields of their own, with the paths where they stand."""
    yield path, model
    for name, field in model["properties"].items():
        suffix, inner = _model_in(field, root)
        if inner is not None:
            yield from _models(inner, root, f"{path}.{name}{suffix}" if path else f"{name}{suffix}")


def _give_titles(model: dict[str, Any], root: dict[str, Any]) -> None:
    """Name the objects in maps, which pydantic leaves without a title, after the map: `channels`, Channel."""
    for name, field in model.get("properties", {}).items():
        values = _values(field)
        if values is not None and "properties" in values:
            values.setdefault("title", name.removesuffix("s").capitalize())
        _, inner = _model_in(field, root)
        _give_titles(inner or {}, root)


def _model_in(field: dict[str, Any], root: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Find the object with fields that a value is, or holds: as it is, in a list, in a map."""
    field = _resolved(field, root)
    if "properties" in field:
        return "", field
    if "items" in field:
        suffix, found = _model_in(field["items"], root)
        return f"[]{suffix}", found
    values = _values(field)
    if values is not None:
        suffix, found = _model_in(values, root)
        return f".*{suffix}", found
    return "", None


def _values(field: dict[str, Any]) -> dict[str, Any] | None:
    """Find what the values of a map are; None for free JSON, and for what is no map."""
    named = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    return next((values for values in named if isinstance(values, dict) and values), None)


def _resolved(field: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and take the alternative that is not null."""
    if "$ref" in field:
        field = {**root["$defs"][field["$ref"].rpartition("/")[2]], **field}
    alternatives = [part for part in field.get("anyOf", []) if part.get("type") != "null"]
    if len(alternatives) == 1:
        rest = {key: value for key, value in field.items() if key != "anyOf"}
        return {**_resolved(alternatives[0], root), **rest, "title": _title(alternatives[0], root, field)}
    return field


def _title(part: dict[str, Any], root: dict[str, Any], field: dict[str, Any]) -> str:
    """Name an object after its model, and anything else after its field."""
    return str(_resolved(part, root).get("title", field.get("title", "")))


def _section(name: str, places: list[str], model: dict[str, Any], root: dict[str, Any]) -> str:
    where = ", ".join(f"`{place}`" for place in places if place)
    rows = [
        _row(field_name, field, root, required=field_name in model.get("required", ()))
        for field_name, field in model["properties"].items()
    ]
    words = "\n".join(line.strip() for line in model["description"].splitlines())
    head = f"## {name}\n\n" + (f"At {where}.\n" if where else "") + f"{words}\n"
    return (
        head + "\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _row(name: str, field: dict[str, Any], root: dict[str, Any], *, required: bool) -> str:
    resolved = _resolved(field, root)
    kind = ", ".join([_type(resolved, root), *_limits(resolved)])
    default = "required" if required else _default(resolved)
    return f"| `{name}` | {_cell(kind)} | {_cell(default)} | {_cell(field['description'])} |"


def _type(field: dict[str, Any], root: dict[str, Any]) -> str:
    """Say what a value is, with a link where it has fields of its own."""
    field = _resolved(field, root)
    choices = field.get("enum", [field["const"]] if "const" in field else [])
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    if "properties" in field:
        return f"[{field['title']}](#{field['title'].lower()})"
    if field.get("type") == "array":
        return f"list of {_type(field['items'], root)}"
    if field.get("type") == "object":
        values = _values(field)
        return f"map to {_type(values, root)}" if values else "object"
    if _is_duration(field):
        return "duration"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(field.get("type", ""), "any JSON")


def _limits(field: dict[str, Any]) -> Iterator[str]:
    """Say the bounds of a value."""
    if _is_duration(field):
        return
    if field.get("minLength") or field.get("minItems"):
        yield "not empty"
    if "minimum" in field:
        yield f"{field['minimum']} to {field['maximum']:,}"
    if "maxLength" in field:
        yield f"at most {field['maxLength']:,} characters"
    if "pattern" in field:
        yield pattern_words(field["pattern"])
    most = field.get("maxItems", field.get("maxProperties"))
    if most is not None:
        yield f"at most {most:,}"


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "its own defaults"
    value = field["default"]
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if value in (None, "", [], {}):
        return "null" if value is None else "empty"
    return f"`{format_duration(value) if isinstance(value, float) and _is_duration(field) else value}`"


def _is_duration(field: dict[str, Any]) -> bool:
    return "(ms|s|m|h|d)" in field.get("pattern", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# -- errors -------------------------------------------------------------------------------------------------


def errors_page() -> str:
    """Make the page of errors: a section for each branch of the tree, in the order of the code."""
    exits = "".join(f"| {code} | {words} |\n" for code, words in _EXITS.items())
    parts = [f"{_ERRORS_HEAD}\n| code | means |\n| --- | --- |\n{exits}"]
    for branch in errors.CairnError.__subclasses__():
        if branch.__module__ == errors.__name__:
            rows = "\n".join(_error(kind) for kind in _branch(branch))
            head = "| error | reason | exit code | tried again | what happened, what to do |"
            parts.append(f"## {branch.__name__}\n\n{head}\n| --- | --- | --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _branch(kind: type[errors.CairnError]) -> Iterator[type[errors.CairnError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _branch(below)


def _error(kind: type[errors.CairnError]) -> str:
    words = _cell((getdoc(kind) or "").split("\n\n")[0])
    again = "yes" if kind.retryable else "no"
    return f"| `{kind.__name__}` | {kind.reason} | {kind.exit_code} | {again} | {words} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
