"""What the pages show: manifests that are valid, and requirements that are all accounted for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.store.opening import open_store, schemes

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REQUIREMENTS = ROOT / "docs/requirements.md"


def blocks(language: str) -> list[tuple[str, str]]:
    """Fenced blocks of a language in all pages: an id and the text of each."""
    found = []
    for page in PAGES:
        texts = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{page.relative_to(ROOT)}[{n}]", text) for n, text in enumerate(texts)]
    return found


def as_manifest(text: str) -> str:
    """A list of steps becomes a whole Workflow; what is one already stays as it is."""
    if not text.startswith("- "):
        return text
    steps = "".join(f"    {line}\n" for line in text.splitlines())
    head = "apiVersion: cairn.dev/v1alpha1\nkind: Workflow\nmetadata: {name: shown}\n"
    return f"{head}spec:\n  state: {{strict: false}}\n  steps:\n{steps}"


@pytest.mark.parametrize(("where", "text"), blocks("yaml"), ids=[where for where, _ in blocks("yaml")])
def test_every_yaml_in_a_page_is_a_valid_workflow(where, text):
    """A reader may copy what a page shows: it has no faults, and nothing to be warned of."""
    report = validate(read_manifest(as_manifest(text), source=where))

    assert report.faults == ()
    assert report.warnings == ()


@pytest.mark.parametrize(("where", "text"), blocks("python"), ids=[where for where, _ in blocks("python")])
def test_every_python_in_a_page_compiles(where, text):
    """Step functions in pages are Python, async ones too."""
    compile(text, where, "exec")


async def test_the_page_on_stores_says_what_the_stores_say(tmp_path):
    """Every installed store is there, with the words by which its own check says what durable means."""
    page = (ROOT / "docs/reference/stores.md").read_text()
    urls = {
        "memory": "memory:",
        "file": f"file://{tmp_path}/runs",
        "sqlite": f"sqlite:///{tmp_path}/cairn.db",
    }

    assert set(schemes()) == set(urls)
    for url in urls.values():
        store = await open_store(url)
        health = await store.check()
        await store.close()
        assert health.durable in page


def rows() -> list[list[str]]:
    """The numbered rows of the requirements: number, item, where, proof."""
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_requirement_has_its_row():
    """The 124 items are there, each once, in order, and no row is short of a column."""
    assert [int(row[0]) for row in rows()] == list(range(1, 125))
    assert {len(row) for row in rows()} == {4}


def test_what_a_requirement_names_is_in_the_tree():
    """Every path in a row exists, and a test that is named in a file is in that file."""
    named = {
        place for row in rows() for place in re.findall(r"`([\w./-]+/[\w./-]*)(?:::(\w+))?`", " ".join(row))
    }

    assert sorted(path for path, _ in named if not (ROOT / path).exists()) == []
    assert [test for path, test in named if test and f"def {test}(" not in (ROOT / path).read_text()] == []


def test_a_requirement_is_proved_or_says_when():
    """A row names a test, or the part that it comes with, or the decision that answers it otherwise."""
    proof = re.compile(r"`tests/|`runtime/cairn_runtime/store/contract/|^later: |0005")

    assert [row[0] for row in rows() if not proof.search(row[3])] == []
