"""Write the custom resource definitions under `crds/` and their reference page, or check both.

    python docs/generate_crds.py            writes them
    python docs/generate_crds.py --check    writes nothing; ends with 1 if one differs

What they hold comes from `cairn_operator.resources`: the models' descriptions, limits and rules.
The fields of a Workflow's spec are on a page of their own, which `generate.py` writes.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cairn_operator.resources.definitions import Definition, definitions, schema_at
from cairn_operator.resources.rules import CHECKPOINT_RULES, WORKFLOW_RULES, Rule
from cairn_operator.resources.schemas import Schema

ROOT = Path(__file__).parent.parent

_SAME = "Written by docs/generate_crds.py from the code; change the code, then run `make docs`."
_PAGE = "docs/reference/kubernetes.md"
_HEAD = """\
# Objects in a cluster

Written by `docs/generate_crds.py` from the code; change the code, then run `make docs`.

Two kinds are in the group `cairn.dev`: Workflow (`cwf`) and Checkpoint (`ckpt`), both of category `cairn`.
The fields of a Workflow's spec are on [their own page](workflow.md); `kubectl explain cwf.spec` shows them.
No defaults are written into an object, and a field that is null counts as left out.
"""


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check the files; answer the exit code."""
    parser = argparse.ArgumentParser(description="Write the custom resource definitions from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file differs")
    check = parser.parse_args(arguments).check
    handle = _same if check else _write
    differs = [name for name, text in files().items() if not handle(root / name, text)]
    if differs:
        print(f"differs from the code: {', '.join(differs)}; run: make docs", file=sys.stderr)
    return 1 if differs else 0


def files() -> dict[str, str]:
    """Make all files, by path."""
    made = definitions()
    crds = {f"crds/{plural}.yaml": f"# {_SAME}\n{as_yaml(one)}" for plural, one in made.items()}
    return {**crds, _PAGE: page(made["workflows"], made["checkpoints"])}


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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


# -- definitions --------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Writes everything out: no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def as_yaml(document: dict[str, Any]) -> str:
    """Write a document as people read it: in the order in which it was made, no line too long."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


# -- the page -----------------------------------------------------------------------------------------------


def page(workflow: Definition, checkpoint: Definition) -> str:
    """Make the reference page."""
    parts = [
        _HEAD,
        _section("Columns of `kubectl get cwf`", ("column", "shows", "meaning"), _columns(workflow)),
        _section("Columns of `kubectl get ckpt`", ("column", "shows", "meaning"), _columns(checkpoint)),
        _section("Status of a Workflow", ("field", "type", "meaning"), _fields(workflow, "status")),
        _section("Spec of a Checkpoint", ("field", "type", "meaning"), _fields(checkpoint, "spec")),
        _section(
            "What is refused at once",
            ("field", "message"),
            [*_rules("Workflow", WORKFLOW_RULES), *_rules("Checkpoint", CHECKPOINT_RULES)],
        ),
        "Whatever else is wrong with a Workflow stands in its condition `Accepted`, with all faults.\n",
    ]
    return "\n".join(parts)


def _section(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"## {title}\n\n{table}\n"


def _columns(definition: Definition) -> Iterator[tuple[str, ...]]:
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
        wide = " (with `-o wide`)" if column.get("priority") else ""
        yield f"{column['name'].upper()}{wide}", f"`{column['jsonPath']}`", column["description"]


def _fields(definition: Definition, part: str) -> Iterator[tuple[str, ...]]:
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield from _below(schema_at(schema, part), "")


def _below(schema: Schema, path: str) -> Iterator[tuple[str, ...]]:
    """A row for each field, those of an object inside after the object."""
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        yield f"`{here}`", _kind(field), " ".join(field["description"].split())
        inner, suffix = (field["items"], "[].") if field["type"] == "array" else (field, ".")
        yield from _below(inner, f"{here}{suffix}")


def _kind(field: Schema) -> str:
    """Say what a value is."""
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("format") == "date-time":
        return "time (RFC 3339)"
    match field["type"]:
        case "array":
            return f"list, at most {field['maxItems']}"
        case "string":
            return f"text, at most {field['maxLength']:,} characters"
        case "integer":
            return "whole number"
    return str(field["type"])


def _rules(kind: str, rules: Iterable[Rule]) -> Iterator[tuple[str, ...]]:
    for rule in rules:
        yield f"{kind} `{f'{rule.at}{rule.field}'.lstrip('.')}`", rule.message.removesuffix("; changed here:")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
