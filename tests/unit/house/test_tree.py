"""What the tree of files promises to whoever opens it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SKIPPED = {"build", "dist", "node_modules", "__pycache__"}
MACHINE_PATHS = ["/" + word + "/" for word in ("work", "root", "tmp/cairn")]
"""Paths of one machine; written so that this file does not contain them itself."""


def files() -> list[Path]:
    """Every file of the project: no caches, no build products, no dot directories but .ci."""
    found = []
    for top in ROOT.iterdir():
        if top.name == ".git":
            continue  # in a worktree it is a file, which names where the repository is
        if top.is_file():
            found.append(top)
        elif top.name not in SKIPPED and (top.name == ".ci" or not top.name.startswith(".")):
            found += [path for path in top.rglob("*") if path.is_file() and not SKIPPED & set(path.parts)]
    return [path for path in found if path.suffix != ".pyc"]


def name(path: Path) -> str:
    """A file's path as the test's id."""
    return str(path.relative_to(ROOT))


MODULES = [
    path for path in files() if path.suffix == ".py" and name(path).startswith(("operator/", "runtime/"))
]
PAGES = [path for path in files() if path.suffix == ".md"]


TESTS = [path for path in files() if name(path).startswith("tests/") and path.name.startswith("test_")]


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_every_test_states_its_rule(path):
    """A test's docstring is the rule that it proves; without one nobody knows what a failure means."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "args"))
    silent = [
        node.name
        for node in functions
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def text(path: Path) -> str | None:
    """What a file says; None where it is not text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def test_no_file_names_a_path_of_one_machine():
    """The tree works wherever it is cloned to."""
    named = {(name(path), word) for path in files() for word in MACHINE_PATHS if word in (text(path) or "")}

    assert named == set()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_room_it_is(path):
    """A module begins with a docstring whose first line is a whole sentence."""
    said = ast.get_docstring(ast.parse(path.read_text()))

    assert said, "no docstring"
    assert re.search(r"[.:]$", said.splitlines()[0]), said.splitlines()[0]


def targets() -> dict[str, str]:
    """The Makefile's commands and what its help says about each."""
    lines = re.findall(r"^([a-z-]+):[^#\n]*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return dict(lines)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_command_in_a_page_is_there(page):
    """What a page tells a reader to type exists in the Makefile."""
    typed = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))

    assert typed <= set(targets())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_in_a_page_leads_to_a_file(page):
    """A relative link points at something in the tree."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_map_leads_to_every_page():
    """No page can only be found by knowing that it is there; decisions have a folder of their own."""
    linked = re.findall(r"\]\(([^)#:]+)", (ROOT / "docs/README.md").read_text())
    pages = {name(page) for page in PAGES if name(page).startswith("docs/")}

    mapped = {name((ROOT / "docs" / link).resolve()) for link in linked}
    assert {page for page in pages - mapped if page.split("/")[1] not in {"design", "news"}} == {
        "docs/README.md"
    }


def test_every_decision_is_listed_by_its_title():
    """A decision's title says what was decided; the list of titles is what most readers need."""
    pages = sorted((ROOT / "docs/design").glob("[0-9]*.md"))
    titles = [(page.name, page.read_text().splitlines()[0].removeprefix("# ")) for page in pages]
    listed = (ROOT / "docs/design/README.md").read_text()

    assert [title for page, title in titles if not title.startswith(page[:4])] == []
    assert [line for page, title in titles if (line := f"- [{title}]({page})") not in listed] == []


def test_what_the_code_refers_to_is_there():
    """A page that a docstring or a message sends its reader to exists."""
    texts = [text(path) or "" for path in files() if name(path).startswith(("operator/", "runtime/"))]
    named = {page for said in texts for page in re.findall(r"docs/[\w./-]+\.md", said)}

    assert {page for page in named if not (ROOT / page).exists()} == set()


def test_the_readme_begins_with_two_commands():
    """A reader's first minute: see it work, then run the tests."""
    readme = (ROOT / "README.md").read_text()

    assert re.findall(r"^make (\w+)", readme, re.MULTILINE)[:2] == ["demo", "test"]
