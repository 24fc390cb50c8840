"""The page about the command line is what the command line says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from cairn_runtime.cli.app import CLUSTER_SECTIONS, SECTIONS

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The program that writes the page."""
    spec = importlib.util.spec_from_file_location("generate_cli", DOCS / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(generator):
    """After a change of a verb: make docs."""
    assert (DOCS / "reference" / "cli.md").read_text(encoding="utf-8") == generator.page()


def test_drift_is_found_and_writing_mends_it(generator, tmp_path, monkeypatch, capsys):
    """`--check` writes nothing and fails where the page is old or missing."""
    page = tmp_path / "reference" / "cli.md"
    monkeypatch.setattr(generator, "PAGE", page)

    monkeypatch.setattr("sys.argv", ["generate_cli.py", "--check"])
    assert generator.main() == 1
    assert not page.exists()
    monkeypatch.setattr("sys.argv", ["generate_cli.py"])
    assert generator.main() == 0
    monkeypatch.setattr("sys.argv", ["generate_cli.py", "--check"])
    assert generator.main() == 0
    page.write_text("old")
    assert generator.main() == 1
    assert "make docs" in capsys.readouterr().err


def test_every_verb_and_its_example_are_on_the_page(generator):
    """Nothing that can be typed is left out."""
    page = generator.page()

    for program, sections in (("cairn", SECTIONS), ("kubectl cairn", CLUSTER_SECTIONS)):
        for verb, example in (one for verbs in sections.values() for one in verbs):
            assert f"### {program} {verb.__name__}\n" in page
            assert f"For example: `{example}`\n" in page
