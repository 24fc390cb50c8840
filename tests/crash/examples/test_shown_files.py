"""What pages show of files is what stands in the files, and every manifest that they show is valid."""

from __future__ import annotations

import re

import pytest
from tests.crash.examples.places import EXAMPLES, NAMES, PAGES, ROOT, blocks, on_page

from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import validate

WHOLE = re.compile(r"# (examples/\S+)\n")
PART = re.compile(r"# from (examples/\S+)\n")


def shown(pattern: re.Pattern[str]) -> list[tuple[str, str, str]]:
    """Blocks whose first line names a file: the page, the file, the block."""
    found = []
    for page in PAGES:
        for block in blocks(page, "[a-z]+"):
            named = pattern.match(block)
            if named is not None:
                found.append((on_page(page), named[1], block))
    return found


@pytest.mark.parametrize(("page", "file", "block"), shown(WHOLE), ids=lambda value: value[:60])
def test_a_file_is_shown_as_it_is(page, file, block):
    """A block whose first line is a file's name is that file, which tests apply."""
    assert (ROOT / file).read_text() == block


@pytest.mark.parametrize(("page", "file", "block"), shown(PART), ids=lambda value: value[:60])
def test_a_part_of_a_file_stands_in_it(page, file, block):
    """A block that begins with `# from` and a file's name is a part of that file."""
    assert block.partition("\n")[2] in (ROOT / file).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_names_itself(name):
    """The first line of each example's manifest is its place, so that pages can show it whole."""
    assert (EXAMPLES / name / "workflow.yaml").read_text().startswith(f"# examples/{name}/workflow.yaml\n")


def manifests() -> list[tuple[str, str]]:
    """Every whole Workflow in a page, and every example's."""
    found = [(str(path.relative_to(ROOT)), path.read_text()) for path in EXAMPLES.glob("*/workflow.yaml")]
    for page in PAGES:
        found += [(on_page(page), block) for block in blocks(page, "ya?ml") if "kind: Workflow" in block]
    return found


MANIFESTS = manifests()


@pytest.mark.parametrize("text", [text for _, text in MANIFESTS], ids=[where for where, _ in MANIFESTS])
def test_a_shown_manifest_is_valid(text):
    """Whoever copies a manifest from a page or an example has one that runs."""
    report = validate(read_manifest(text, source="shown"))

    assert report.workflow is not None, report.faults
    assert report.faults == ()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_neither_fault_nor_warning(name):
    """With its code at hand too: every function is there, and no two steps can conflict."""
    folder = EXAMPLES / name
    sources = {path.name: path.read_text() for path in folder.glob("*.py")}

    report = validate(read_manifest((folder / "workflow.yaml").read_text(), source=name), sources=sources)

    assert (report.faults, report.warnings) == ((), ())


def test_pages_show_files():
    """The two patterns above find something: the quickstart and the how-to are built of them."""
    assert {page for page, _, _ in shown(WHOLE)} >= {"docs/quickstart.md", "docs/howto/write-a-workflow.md"}
    assert {page for page, _, _ in shown(PART)} >= {"docs/howto/write-a-workflow.md"}
