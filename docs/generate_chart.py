"""Write what the chart in `charts/cairn` says twice from where it is said once, or check it.

python docs/generate_chart.py            writes it
python docs/generate_chart.py --check    writes nothing; ends with 1 if a file differs

schema/values.yaml ── values.schema.json, values.yaml with its comments, the table in README.md
schema/README.md ──── the rest of README.md
crds/ ─────────────── templates/crds/, with the switches of the chart around them
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CHART = "charts/cairn"
KUBERNETES = "x-kubernetes"
"""Marks what Kubernetes defines and checks: it is passed on, and described by the name of its kind."""
_MARK = "<!-- values -->\n"
_SAME = "Written by docs/generate_chart.py from schema/values.yaml; change that, then run `make docs`."
_WIDTH = 110
_NAME = "metadata:\n  name: {plural}.cairn.dev\n"
_KEEP = """\
  {{- if .Values.crds.keep }}
  annotations: {helm.sh/resource-policy: keep}
  {{- end }}
"""

Schema = dict[str, Any]


class ChartInvalid(ValueError):
    """What the chart is made from cannot be used."""


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check the files; answer the exit code."""
    parser = argparse.ArgumentParser(description="Write the values, schema and page of the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file differs")
    handle = _same if parser.parse_args(arguments).check else _write
    differs = [name for name, text in files(root).items() if not handle(root / name, text)]
    if differs:
        print(f"differs from its source: {', '.join(differs)}; run: make docs", file=sys.stderr)
    return 1 if differs else 0


def files(root: Path = ROOT) -> dict[str, str]:
    """Make all files, by path."""
    source = root / CHART / "schema"
    schema = yaml.safe_load((source / "values.yaml").read_text())
    page = (source / "README.md").read_text()
    crds = {
        f"{CHART}/templates/crds/{path.name}": switched(path.read_text(), path.stem)
        for path in sorted((root / "crds").glob("*.yaml"))
    }
    return {
        f"{CHART}/values.schema.json": json.dumps(strict(schema), indent=2, ensure_ascii=False) + "\n",
        f"{CHART}/values.yaml": f"# {_SAME}\n" + "".join(values(schema)),
        f"{CHART}/README.md": page.replace(_MARK, table(schema)),
        **crds,
    }


def _same(path: Path, text: str) -> bool:
    """Compare a file with what it should be, and show the difference."""
    found = path.read_text() if path.exists() else ""
    lines = (found.splitlines(keepends=True), text.splitlines(keepends=True))
    sys.stderr.writelines(difflib.unified_diff(*lines, str(path), "its source", n=0))
    return found == text


def _write(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


# -- values.schema.json ------------------------------------------------------------------------------------


def strict(schema: Schema) -> Schema:
    """Make the schema that Helm reads: whatever is not described is refused."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_strict(schema)}


def _strict(node: Schema) -> Schema:
    made = {key: value for key, value in node.items() if key != KUBERNETES}
    if node.get("type") == "object" and KUBERNETES not in node:
        made.setdefault("additionalProperties", False)
    if "properties" in node:
        made["properties"] = {name: _strict(child) for name, child in node["properties"].items()}
    if "items" in node:
        made["items"] = _strict(node["items"])
    return made


# -- values.yaml -------------------------------------------------------------------------------------------


def values(node: Schema, indent: str = "") -> Iterator[str]:
    """Write every value with what it means above it."""
    for name, child in node["properties"].items():
        yield "" if indent else "\n"
        text = " ".join(child["description"].split())
        lead = f"{indent}# "
        yield textwrap.fill(text, _WIDTH, initial_indent=lead, subsequent_indent=lead) + "\n"
        if "properties" in child:
            yield f"{indent}{name}:\n"
            yield from values(child, indent + "  ")
        else:
            yield _value(name, child, indent)


def _value(name: str, child: Schema, indent: str) -> str:
    if "default" not in child:
        raise ChartInvalid(f"{CHART}/schema/values.yaml: {name} has no default")
    written = yaml.safe_dump({name: child["default"]}, sort_keys=False, width=_WIDTH)
    return textwrap.indent(written, indent)


def defaults(node: Schema) -> Schema:
    """All values as they are where nobody says otherwise."""
    return {
        name: defaults(child) if "properties" in child else child["default"]
        for name, child in node["properties"].items()
    }


# -- README.md ---------------------------------------------------------------------------------------------


def table(schema: Schema) -> str:
    """Write a row for every value."""
    rows = "".join(f"| `{path}` | {shown} | {text} |\n" for path, shown, text in described(schema))
    return f"| value | default | meaning |\n| --- | --- | --- |\n{rows}"


def described(node: Schema, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of each value, and of what the items of a list hold."""
    for name, child in node["properties"].items():
        here = f"{path}{name}"
        yield here, _default(child), _meaning(child)
        inner, more = (child["items"], "[].") if child.get("type") == "array" else (child, ".")
        if "properties" in inner:
            yield from described(inner, here + more)


def _default(child: Schema) -> str:
    if "default" not in child:
        return ""
    value = child["default"]
    return f"`{json.dumps(value)}`" if value not in ("", [], {}) else "empty"


def _meaning(child: Schema) -> str:
    text = " ".join(child["description"].split()).replace("|", "\\|")
    if "enum" in child:
        text += " One of " + ", ".join(f"`{choice}`" if choice else "empty" for choice in child["enum"]) + "."
    kind = child.get(KUBERNETES, child.get("items", {}).get(KUBERNETES, "none"))
    return text if kind == "none" else f"{text} Kubernetes' own {kind}."


# -- definitions -------------------------------------------------------------------------------------------


def switched(definition: str, plural: str) -> str:
    """Put the chart's switches around a definition of `crds/`, and leave its text as it is."""
    head = _NAME.format(plural=plural)
    if "{{" in definition or definition.count(head) != 1:
        raise ChartInvalid(f"crds/{plural}.yaml cannot be a template: it has braces of its own, or no name")
    return "{{- if .Values.crds.install }}\n" + definition.replace(head, head + _KEEP) + "{{- end }}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
