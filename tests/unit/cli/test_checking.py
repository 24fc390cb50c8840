"""`validate` and `graph`: files that are right, wrong, missing, or no files at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.unit.cli.builders import Writer, document, waiting_run


@pytest.fixture
def file(cairn) -> Path:
    """A valid file in the present folder."""
    path = Path("digest.yaml")
    path.write_text(yaml.safe_dump(document()))
    return path


def test_a_valid_file_says_what_it_is(cairn, file):
    """Exit code 0, and the name of the Workflow."""
    said = cairn("validate", str(file))

    assert (said.code, said.out) == (0, "digest.yaml: valid (digest, 5 steps)\n")
    assert cairn("validate", str(file), "-o", "json").document == {
        "valid": True,
        "files": [{"file": "digest.yaml", "workflow": "digest", "valid": True, "faults": [], "warnings": []}],
    }


def test_every_file_is_judged_and_every_fault_named(cairn, file):
    """One bad file does not hide the next; the document has the shape of an error too."""
    raw = document()
    raw["spec"]["steps"][1]["needs"] = ["fetsh"]
    raw["spec"]["steps"][3]["approvall"] = {}
    Path("bad.yaml").write_text(yaml.safe_dump(raw))

    said = cairn("validate", "bad.yaml", str(file), "missing.yaml", "-o", "json")
    bad, good, missing = said.document["files"]
    assert said.code == 2
    assert {fault["path"] for fault in bad["faults"]} >= {"spec.steps[1].needs[0]", "spec.steps[3].approvall"}
    assert good["valid"]
    assert missing["faults"] == [{"path": "missing.yaml", "message": "no such file"}]
    assert said.document["error"]["reason"] == "ManifestInvalid"
    assert len(said.document["error"]["faults"]) == len(bad["faults"]) + 1
    assert "no such file; did you mean bad.yaml?" in cairn("validate", "bda.yaml").out
    people = cairn("validate", "bad.yaml")
    assert people.code == 2
    assert '  spec.steps[1].needs[0]: unknown step "fetsh"; did you mean "fetch"?' in people.out.splitlines()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Path("x").mkdir(), "is a folder; name the file in it"),
        (lambda: Path("x").write_bytes(b"\xff\xfe"), "line 1, column 1: not UTF-8"),
        (lambda: Path("x").write_text("a: 1\n---\nb: 2\n"), "document"),
        (lambda: Path("x").write_text("- 1\n"), "holds a list"),
        (lambda: Path("x").write_text(""), "nothing"),
        (lambda: Path("x").write_text("a: [\n"), "line 2"),
        (lambda: Path("x").symlink_to("x"), "cannot be read"),
    ],
    ids=[
        "a folder",
        "no UTF-8",
        "two documents",
        "a list",
        "an empty file",
        "broken YAML",
        "a link to itself",
    ],
)
def test_what_is_no_manifest_says_why(cairn, make, problem):
    """A fault and exit code 2, never a traceback; the same for `run` and `graph`."""
    make()

    assert problem in cairn("validate", "x").out
    for verb in ("run", "graph"):
        said = cairn(verb, "x")
        assert (said.code, said.out) == (2, "")
        assert problem in said.err
    assert not Path(".cairn").exists()


def test_a_folder_with_one_manifest_names_it(cairn, file):
    """The person meant that file."""
    assert "for example digest.yaml" in cairn("validate", ".").out


def test_standard_input_is_a_file_too(cairn, monkeypatch):
    """`-` reads what is piped in."""
    import io  # noqa: PLC0415 - a stand-in for a pipe

    class Pipe:
        buffer = io.BytesIO(json.dumps(document()).encode())

    monkeypatch.setattr("sys.stdin", Pipe())

    assert cairn("validate", "-").out == "standard input: valid (digest, 5 steps)\n"


def test_code_beside_the_file_is_looked_at(cairn):
    """A function that its module does not define is found before anything runs."""
    Path("steps.py").write_text("def draft(state):\n    return {}\n")
    raw = document([{"name": "a", "python": "steps:drafft"}])
    raw["spec"]["state"]["channels"]["kept"] = {"reducer": "python: steps:fold"}
    Path("a.yaml").write_text(yaml.safe_dump(raw))

    said = cairn("validate", "a.yaml")
    assert said.code == 2
    assert (
        'spec.steps[0].python: steps.py defines no "drafft" at top level; did you mean "draft"?' in said.out
    )
    assert 'steps.py defines no "fold"' in said.out


def test_a_warning_is_no_fault(cairn):
    """What may go wrong is said, and the file is valid."""
    raw = document([{"name": "a", "run": "true", "maxVisits": 3}], code={"json.py": "x = 1\n"})
    Path("a.yaml").write_text(yaml.safe_dump(raw))

    said = cairn("validate", "a.yaml", "-o", "json")
    assert (said.code, said.document["valid"]) == (0, True)
    assert any("standard library" in warning["message"] for warning in said.document["files"][0]["warnings"])
    assert "  warning: " in cairn("validate", "a.yaml").out


@pytest.mark.parametrize("drawing", ["text", "mermaid", "svg", "json", "yaml"])
def test_a_graph_is_drawn_in_every_way(cairn, file, drawing):
    """Each form has every step in it."""
    said = cairn("graph", str(file), "-o", drawing)

    assert (said.code, said.err) == (0, "")
    assert all(step["name"] in said.out for step in document()["spec"]["steps"])


def test_a_graph_shows_how_far_a_run_came(cairn, file, url, waiting):
    """Done, waiting, to do, and how often."""
    shown = cairn("graph", str(file), "--run", "digest", "--store", url, "-o", "json").document

    assert [(step["name"], step["standing"], step["visits"]) for step in shown["steps"]] == [
        ("fetch", "done", 1),
        ("draft", "done", 2),
        ("check", "done", 2),
        ("sign", "waiting", 1),
        ("send", "todo", 0),
    ]


def test_a_graph_shows_what_was_skipped(cairn, url, write):
    """A step that ended without a checkpoint of its own was skipped."""
    raw = document(
        [{"name": "a", "run": "true"}, {"name": "b", "run": "true", "needs": ["a"], "when": "false"}]
    )
    Path("a.yaml").write_text(yaml.safe_dump(raw))

    async def run(store):
        writer = await Writer.begin(store, raw)
        await writer.done("a")

    write(run)

    shown = cairn("graph", "a.yaml", "--run", "digest", "--store", url, "-o", "json").document
    assert [step["standing"] for step in shown["steps"]] == ["done", "skipped"]


def test_a_run_of_another_workflow_is_refused(cairn, url, write):
    """Its colours would mean nothing."""
    write(waiting_run)
    Path("a.yaml").write_text(yaml.safe_dump(document(name="other")))

    said = cairn("graph", "a.yaml", "--run", "digest", "--store", url)
    assert said.code == 2
    assert 'run "digest" belongs to digest, and the file is other' in said.err
