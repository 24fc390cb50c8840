"""What pages tell a reader to type: verbs and options that there are, places that can be jumped to."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "charts/cairn/README.md"])
REFERENCE = ROOT / "docs/reference/cli.md"
ALWAYS = {"--help", "--install-completion"}


def name(path: Path) -> str:
    """A page's path as the test's id."""
    return str(path.relative_to(ROOT))


@cache
def verbs() -> dict[str, set[str]]:
    """Each verb and its options, of the generated page, which `make check` holds against the code."""
    found: dict[str, set[str]] = {}
    for part in re.split(r"^### (?:kubectl )?cairn ", REFERENCE.read_text(), flags=re.MULTILINE)[1:]:
        section = re.split(r"^##? ", part, maxsplit=1, flags=re.MULTILINE)[0]
        rows = [line for line in section.splitlines() if line.startswith(("| `-", "And "))]
        options = set(re.findall(r"(?<![\w-])(--[a-z-]+|-[A-Za-z])\b", "\n".join(rows)))
        found.setdefault(part.split()[0], set()).update(
            options | ({"-o"} if "--output" in options else set())
        )
    return found


def typed(page: Path) -> list[list[str]]:
    """Calls of `cairn` in a page, in blocks and between backticks: words, from the verb on."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    calls = []
    for line in lines:
        call = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:kubectl )?cairn ([a-z].*)", line.strip())
        if call is not None:
            words = shlex.split(re.split(r"\s#|[|;&>]", call[1].replace("\\|", " "))[0].replace("'", ""))
            calls.append(words)
    return calls


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_verb_in_a_page_is_one(page):
    """With options that it has; a page that is ahead of the program, or behind it, helps nobody."""
    wrong = []
    for verb, *words in typed(page):
        options = {word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)}
        if verb not in verbs() or options - verbs()[verb] - ALWAYS:
            wrong.append((verb, sorted(options)))

    assert wrong == []


def test_calls_are_found():
    """The test above looks at something: verbs and options of blocks and of sentences."""
    calls = typed(ROOT / "docs/howto/troubleshoot.md")

    assert ["prune", "digest", "--keep-last", "3"] in calls
    assert ["doctor", "-o", "json"] in calls
    assert len(verbs()) > 20
    assert {"--keep-last", "--store", "-o"} <= verbs()["prune"]


def values() -> dict[str, object]:
    """The values of the chart, with their defaults."""
    return dict(yaml.safe_load((ROOT / "charts/cairn/values.yaml").read_text()))


@cache
def described() -> set[str]:
    """Every value of the chart by its path, of the schema, which refuses all others."""
    page = (ROOT / "charts/cairn/README.md").read_text()
    return set(re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_value_that_is_set_in_a_page_is_one(page):
    """`helm ... --set` with a value that is refused would be a bad first minute."""
    said = (
        re.findall(r"(?<!cairn)--set '?([a-zA-Z][^ '\n]*)", page.read_text())
        if "helm" in page.read_text()
        else []
    )
    paths = [re.sub(r"\[\d+\]", "[]", part.partition("=")[0]) for one in said for part in one.split(",")]

    assert [
        path for path in paths if path.split(".")[0].rstrip("[]") in values() and path not in described()
    ] == []


@cache
def anchors(page: Path) -> set[str]:
    """What can be jumped to in a page: its headings, as they are made into anchors."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_into_a_page_leads_to_a_heading(page):
    """A link that ends at the top of another page leaves its reader to search."""
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    lost = [
        f"{target}#{anchor}"
        for target, anchor in links
        if (path := (page.parent / target).resolve() if target else page).suffix == ".md"
        and anchor not in anchors(path)
    ]

    assert lost == []
