"""The command that goes on with a run is exact: its file, its input, its store."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.builders import document
from tests.unit.cli.test_rows import RUN

from cairn_runtime.cli.hints import command_to_go_on, manifest_of, run_command, store_words
from cairn_runtime.cli.wishes import Wishes


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose manifest lies in the present folder, beside others."""
    monkeypatch.chdir(tmp_path)
    Path("digest.yaml").write_text(json.dumps(document()))
    Path("other.yaml").write_text(json.dumps(document(name="other")))
    Path("notes.yaml").write_text("- milk\n")
    Path("broken.yaml").write_text("a: [")
    return replace(RUN, folder=str(tmp_path))


def test_the_file_is_found_again(run):
    """The one file of the folder that holds the Workflow; what is no manifest is passed over."""
    assert manifest_of(run) == "digest.yaml"
    assert command_to_go_on(run) == "cairn run digest.yaml"


def test_input_that_was_given_is_given_again(run):
    """Another input is another spec, so the command without it would be refused."""
    given = document(input={"urls": ["a", "b"], "pace": 0.1})

    command = command_to_go_on(replace(run, manifest=given))
    assert shlex.split(command) == ["cairn", "run", "digest.yaml", "--input", '{"pace": 0.1}']


@pytest.mark.parametrize("spoil", ["twice", "gone", "no folder"])
def test_where_the_file_is_not_clear_none_is_named(run, spoil):
    """A wrong file would be worse than none."""
    if spoil == "twice":
        Path("copy.yaml").write_text(json.dumps(document()))
    elif spoil == "gone":
        Path("digest.yaml").unlink()
    else:
        run = replace(run, folder="/no/such/folder")

    assert manifest_of(run) is None
    assert command_to_go_on(run) == "cairn run FILE"


def test_a_file_elsewhere_is_named_whole(run, tmp_path, monkeypatch):
    """From another folder its short name would mean nothing."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    assert manifest_of(run) == str(tmp_path / "digest.yaml")


def test_a_command_is_quoted_as_it_was_typed():
    """What a shell would take apart comes back whole; what is meant for once is left out."""
    how = Wishes(
        "sqlite:///my runs.db",
        new=True,
        kill_at="draft",
        input='{"a": 1}',
        settings=("b=x y",),
        in_process=True,
    )

    assert shlex.split(how.again("my digest.yaml")) == [
        "cairn", "run", "my digest.yaml", "--input", '{"a": 1}', "--set", "b=x y", "--in-process",
        "--store", "sqlite:///my runs.db",
    ]  # fmt: skip
    assert run_command("digest.yaml", None, ()) == "cairn run digest.yaml"


def test_no_password_is_printed():
    """The command shows where it goes."""
    assert "secret" not in store_words("postgresql://me:secret@host/db")
    assert store_words(None) == ""
