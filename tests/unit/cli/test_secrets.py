"""A key is shown by no verb, in no format, in no error and no log."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.builders import document
from tests.unit.store.rings import key_file, key_text

VERBS = [
    ("runs",),
    ("checkpoints", "digest"),
    ("show", "digest/7"),
    ("state", "digest"),
    ("diff", "digest/4", "head"),
    ("verify",),
    ("graph", "digest.yaml", "--run", "digest"),
    ("store", "check"),
    ("store", "migrate"),
    ("store", "rekey"),
    ("approve", "digest", "--step", "nothing"),
    ("signal", "digest", "go"),
    ("resume", "digest", "--from", "99"),
    ("cancel", "digest"),
]


@pytest.mark.parametrize("format_", ["table", "json"])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_verb_shows_a_key(cairn, url, waiting, tmp_path, monkeypatch, verb, format_):
    """With the log of `--debug`, where it does its work and where it fails."""
    path = key_file(tmp_path, "one", "two")
    (tmp_path / "digest.yaml").write_text(json.dumps(document()))
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(path))

    said = cairn(*verb, "--store", url, "--debug", *(("-o", format_) if verb[0] != "graph" else ()))

    assert key_text("one") not in said.out + said.err
    assert key_text("two") not in said.out + said.err


@pytest.mark.parametrize(
    "broken", ["one: {}\nplain: maybe\n", "{}\n", "one: {}x\n"], ids=["a line", "no name", "odd"]
)
@pytest.mark.parametrize("verb", [("state", "digest"), ("store", "rekey"), ("verify",)], ids=" ".join)
def test_a_broken_key_file_is_not_quoted(cairn, url, waiting, tmp_path, monkeypatch, verb, broken):
    """Exit code 78, with a traceback and without."""
    path = tmp_path / "keys"
    path.write_text(broken.format(key_text("one")))
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(path))

    said = cairn(*verb, "--store", url, "--debug")

    assert said.code == 78
    assert "CAIRN_KEYS_FILE" in said.err
    assert key_text("one")[:16] not in said.out + said.err
