"""Arguments to exit codes: usage errors, our errors, faults of ours, and the help that teaches."""

from __future__ import annotations

import sys

import pytest

from cairn_runtime.cli import histories
from cairn_runtime.cli.__main__ import asked_format
from cairn_runtime.cli.app import SECTIONS
from cairn_runtime.cli.outputs import Format
from cairn_runtime.errors import StoreUnavailable, Superseded

VERBS = [(verb.__name__, example) for verbs in SECTIONS.values() for verb, example in verbs]


def test_alone_it_shows_its_help(cairn):
    """A person who types `cairn` sees what there is, and how to begin."""
    said = cairn()

    assert said.code == 0
    assert "A first run: cairn run FILE" in said.out
    assert all(name in said.out for name, _ in VERBS)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_help_says_whole_sentences(cairn, monkeypatch, columns):
    """What a verb does is not cut off, however narrow the terminal; on a cluster neither."""
    monkeypatch.setenv("COLUMNS", columns)

    for program in ("cairn", "kubectl-cairn"):
        monkeypatch.setattr(sys, "argv", [program])
        said = " ".join(cairn("--help").out.split())
        assert "..." not in said.replace("COMMAND [ARGS]...", "").replace("state, diff, ...)", "")


@pytest.mark.parametrize(("verb", "example"), VERBS, ids=[name for name, _ in VERBS])
def test_every_verb_explains_itself_with_an_example(cairn, verb, example):
    """Help says what the verb does and shows one call of it; `-h` is the same."""
    said = cairn(verb, "--help")

    assert said.code == 0
    assert example.startswith(f"cairn {verb}")
    assert "Example: cairn" in said.out
    assert cairn(verb, "-h").out == said.out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("rnu",), "error: no such command 'rnu'. Did you mean 'run'?\ntry: cairn --help\n"),
        (("run",), "error: FILE: is missing\ntry: cairn run --help\n"),
        (("runs", "a", "b"), "error: got unexpected extra argument(s) (b)\ntry: cairn runs --help\n"),
        (
            ("state", "--stroe", "x"),
            "error: --stroe: no such option; did you mean --store?\ntry: cairn state --help\n",
        ),
        (
            ("runs", "--store"),
            "error: --store: option '--store' requires an argument\ntry: cairn runs --help\n",
        ),
        (
            ("--store", "memory:", "runs"),
            "error: --store: stands behind the verb, as in: cairn runs --store ...\ntry: cairn --help\n",
        ),
        (("resume", "digest"), "error: --from: is missing\ntry: cairn resume --help\n"),
        (
            ("runs", "-o", "xml"),
            "error: --output: 'xml' is not one of 'table', 'json', 'yaml'\ntry: cairn runs --help\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line_and_where_to_look(cairn, args, told):
    """Exit code 2, nothing on standard output."""
    said = cairn(*args)

    assert (said.code, said.out, said.err) == (2, "", told)


@pytest.mark.parametrize(
    "args",
    [
        ("runs", "--limit", "many", "-o", "json"),
        ("runs", "--limit", "-1", "--output=json"),
        ("-ojson", "rnu"),
        ("run", "-o", "json"),
        ("validate", "-o", "json"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_a_document_where_one_was_asked_for(cairn, args):
    """A program that calls wrongly reads the same shape as for every error."""
    said = cairn(*args)

    assert said.code == 2
    assert set(said.document) == {"error"}
    assert set(said.document["error"]) == {"reason", "message", "faults"}
    assert said.document["error"]["faults"][0]["message"]


@pytest.mark.parametrize(
    ("args", "format_"),
    [
        (["runs"], Format.TABLE),
        (["runs", "-o", "json"], Format.JSON),
        (["runs", "--output", "yaml"], Format.YAML),
        (["runs", "--output=json"], Format.JSON),
        (["runs", "-ojson"], Format.JSON),
        (["runs", "-o"], Format.TABLE),
        (["runs", "-o", "xml"], Format.TABLE),
        (["graph", "f", "-o", "svg"], Format.TABLE),
        (["runs", "--", "-o", "json"], Format.TABLE),
    ],
)
def test_the_format_of_errors_is_known_before_parsing(args, format_):
    """Whatever else is wrong with the arguments."""
    assert asked_format(args) is format_


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreUnavailable("locked"), 69, "StoreUnavailable"),
        (Superseded("r"), 75, "Superseded"),
        (ZeroDivisionError("oops"), 70, "Unexpected"),
    ],
)
def test_every_error_has_its_code_and_no_traceback(cairn, monkeypatch, error, code, reason):
    """Our errors and our faults, for people and for programs."""

    async def fail(*_):
        raise error

    monkeypatch.setattr(histories, "list_runs", fail)

    people = cairn("runs")
    assert (people.code, people.out) == (code, "")
    assert len(people.err.splitlines()) == 1
    programs = cairn("runs", "-o", "json")
    assert (programs.code, programs.document["error"]["reason"]) == (code, reason)


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        ("redis://h: Connect call failed", "nothing listens there: start the server"),
        ("redis://h: the user may not do this: ACL SETUSER ... +hget (NOPERM)", "ACL SETUSER ... +hget\n"),
        ("it is what it is", ""),
    ],
)
def test_a_store_that_cannot_be_used_has_a_line_that_mends_it(cairn, monkeypatch, message, mend):
    """Below the error, for people; a document says what it always said."""

    async def raises(*_, **__):
        raise StoreUnavailable(message)

    monkeypatch.setattr(histories, "list_runs", raises)

    assert (f"  -> {mend}" in cairn("runs").err) is bool(mend)
    assert "->" not in cairn("runs").err or mend
    assert "mend" not in cairn("runs", "-o", "json").document["error"]


def test_a_fault_of_ours_tells_how_to_see_more(cairn, monkeypatch):
    """One line; with --debug the traceback."""

    async def fail(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(histories, "list_runs", fail)

    assert cairn("runs").err == "unexpected error: ZeroDivisionError: oops; run with --debug to see where\n"
    debug = cairn("runs", "--debug")
    assert (debug.code, "Traceback" in debug.err) == (70, True)


def test_an_interrupt_is_130(cairn, monkeypatch):
    """Ctrl-C is no error of anybody."""

    async def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(histories, "list_runs", interrupt)

    assert cairn("runs").code == 130


def test_the_version_is_said(cairn):
    """And nothing is loaded for it."""
    assert cairn("--version").out.startswith("cairn 0.")


def test_the_plugin_of_kubectl_is_the_same_program(cairn, monkeypatch):
    """Its help says what was typed."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-cairn"])

    assert cairn("runs", "--help").out.startswith("Usage: kubectl cairn runs")
    assert cairn("tree", "--help").out.startswith("Usage: kubectl cairn tree")
