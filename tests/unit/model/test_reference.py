"""The reference pages: they are what the code says, and drift is found."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.unit.model.schema_walk import fields

from cairn_runtime import errors

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(generate):
    """Whoever changes a field or an error runs `make docs`."""
    assert generate.main(["--check"]) == 0


def test_drift_is_found_and_writing_mends_it(generate, tmp_path, capsys):
    """The check fails for a page that is missing or changed by hand, and shows where."""
    assert generate.main(["--check"], tmp_path) == 1

    generate.main([], tmp_path)
    assert generate.main(["--check"], tmp_path) == 0

    page = tmp_path / "workflow.md"
    page.write_text(page.read_text().replace("The graph and how to run it.", "Something else.", 1))
    assert generate.main(["--check"], tmp_path) == 1
    assert "Something else." in capsys.readouterr().err


def test_every_field_has_a_row(generate):
    """Nothing of the manifest is left out of its page."""
    page = generate.workflow_page()
    names = {path.rpartition(".")[2] for path, _ in fields()}

    assert {name for name in names if f"\n| `{name}` | " not in page} == set()


def test_every_error_has_a_row(generate):
    """Nothing of the tree is left out of its page."""
    page = generate.errors_page()

    def below(kind):
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield child.__name__
                yield from below(child)

    assert {name for name in below(errors.CairnError) if f"\n| `{name}` | " not in page} == set()


def test_rows_have_as_many_cells_as_their_head(generate):
    """A bar inside a cell would break the table."""
    for page in generate.pages().values():
        for block in page.split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({row.replace("\\|", "").count("|") for row in rows}) <= 1
