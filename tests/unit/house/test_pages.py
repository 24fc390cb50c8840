"""What the pages show: manifests that are valid, and requirements that are all accounted for."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from cairn_runtime.errors import StoreUrlInvalid
from cairn_runtime.model.reading import read_manifest
from cairn_runtime.model.validation import validate
from cairn_runtime.store.opening import open_store, schemes, store_for
from cairn_runtime.store.postgres.sessions import durable_words
from cairn_runtime.store.redis.inspections import Server

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REQUIREMENTS = ROOT / "docs/requirements.md"
STORES = ROOT / "docs/reference/stores.md"


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
    """Every store is there with the words by which its own check says what durable means, on any server."""
    page = STORES.read_text()
    local = ["memory:", f"file://{tmp_path}/runs", f"sqlite:///{tmp_path}/cairn.db"]
    words = [durable_words("on", "on"), durable_words("off", "on")]
    for fsync, aof, version in product(
        ["always", "everysec", "no", None], [True, False, None], [(7, 0), (7, 2)]
    ):
        if fsync == "everysec" or version == (7, 0):
            words.append(redis_server(version, aof=aof, fsync=fsync).durable)
    for url in local:
        store = await open_store(url)
        words.append((await store.check()).durable)
        await store.close()

    assert [text for text in words if f" {text} |\n" not in page] == []


def test_every_scheme_is_on_the_page_on_stores():
    """A URL that works can be found, whoever brings the store."""
    page = STORES.read_text()

    assert [scheme for scheme in schemes() if f"`{scheme}:" not in page] == []


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("sqlite:///x.db", "reference/stores.md"),
        ("file:///x", "reference/stores.md"),
        ("postgresql://h/d", "reference/stores.md"),
        ("postgresql://h/d", "howto/use-postgres.md"),
        ("rediss+sentinel://h?master=m", "reference/stores.md"),
        ("rediss+sentinel://h?master=m", "howto/use-redis.md"),
    ],
)
def test_every_option_of_a_store_is_on_its_page(url, page):
    """A store that refuses an option names those that there are: each of them is explained."""
    with pytest.raises(StoreUrlInvalid) as refusal:
        store_for(f"{url}{'&' if '?' in url else '?'}no_such_option=1")

    listed = re.search(r"; there is ([a-z_, ]+?)(, and |;|$)", refusal.value.message)

    assert listed is not None
    text = (ROOT / "docs" / page).read_text()
    assert [name for name in listed[1].split(", ") if f"`{name}`" not in text] == []


def redis_server(version: tuple[int, int], *, aof: bool | None, fsync: str | None) -> Server:
    """A server as the Redis store sees it."""
    return Server(
        version,
        "master",
        clustered=False,
        aof=aof,
        fsync=fsync,
        policy="noeviction",
        used_bytes=1,
        limit_bytes=None,
    )


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


def test_a_requirement_is_proved_or_answered_otherwise():
    """A row names a test, or the decision that answers it otherwise; nothing is put off."""
    proof = re.compile(r"`tests/|`runtime/cairn_runtime/store/contract/|0005")

    assert [row[0] for row in rows() if not row[2] or not proof.search(row[3])] == []
    assert [row[0] for row in rows() if re.search(r"\blater\b", " ".join(row[2:]))] == []
