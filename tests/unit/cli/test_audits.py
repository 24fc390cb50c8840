"""`cairn audit`: who asked for what, written before it is done."""

from __future__ import annotations

import getpass
import socket

import pytest
from tests.unit.cli.builders import waiting_run

from cairn_runtime.model.ids import utc_now
from cairn_runtime.runner import auditing
from cairn_runtime.store.audits import following, verify_entries
from cairn_runtime.store.base import NewEntry


@pytest.fixture
def lines(cairn, url):
    """Ask for the lines, oldest first, as (who, what, from, to)."""

    def ask():
        found = cairn("audit", "--store", url, "-o", "json").document["lines"]
        return [(line["who"], line["what"], line["from"], line["to"]) for line in found[::-1]]

    return ask


def test_every_act_of_the_command_line_leaves_a_line(cairn, url, write, lines, monkeypatch):
    """An answer, a pin and its end, a prune, a cancellation and a deletion; looking leaves none."""
    monkeypatch.setenv("CAIRN_USER", "ann")
    run = write(waiting_run)
    cairn("runs", "--store", url)
    assert lines() == []

    cairn("pin", f"{run.run_id}/1", "--store", url)
    cairn("unpin", f"{run.run_id}/1", "--store", url)
    cairn("prune", "--dry-run", "--store", url)
    cairn("prune", "--store", url)
    cairn("cancel", run.run_id, "--store", url)
    cairn("delete", run.run_id, "--yes", "--store", url)

    assert [what for _, what, _, _ in lines()] == ["pin", "unpin", "prune", "cancel", "delete"]
    assert {who for who, _, _, _ in lines()} == {"ann"}
    assert lines()[-1] == ("ann", "delete", run.run_id, "")


def test_the_table_names_who_and_what(cairn, url, write):
    """The newest first, and what the chain says."""
    run = write(waiting_run)
    cairn("cancel", run.run_id, "--store", url)

    said = cairn("audit", "--verify", "--store", url)

    assert said.code == 0
    assert "cancel" in said.out
    assert "1 line: sound; the last hash is " in said.out


def test_a_changed_line_is_told(cairn, url, write):
    """Whoever holds the database can change it, and not unseen."""
    run = write(waiting_run)
    cairn("cancel", run.run_id, "--store", url)
    write(_falsify)

    said = cairn("audit", "--verify", "--store", url, "-o", "json")

    assert said.code == 1
    assert said.document["faults"] == ["line 1 was altered"]


async def _falsify(store):
    db = store._inner._db.connection
    db.execute("DROP TRIGGER audit_is_not_changed")
    db.execute("UPDATE audit SET who = 'nobody'")


async def _change(store):
    db = store._inner._db.connection
    with pytest.raises(Exception, match="append-only"):
        db.execute("UPDATE audit SET who = 'nobody'")
    with pytest.raises(Exception, match="append-only"):
        db.execute("DELETE FROM audit")


def test_a_database_lets_no_line_be_changed_or_taken_out(cairn, url, write):
    """By a program that means no harm."""
    run = write(waiting_run)
    cairn("cancel", run.run_id, "--store", url)

    write(_change)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lines: [lines[0], lines[2]], "lines 2 to 2 are missing"),
        (lambda lines: [lines[0], lines[1]._replace(who="bob"), lines[2]], "line 2 was altered"),
        (
            lambda lines: [lines[0], _forged("ab" * 32), lines[2]],
            "line 2 does not follow line 1",
        ),
        (
            lambda lines: [lines[0], _forged(lines[0].hash), lines[2]],
            "line 3 does not follow line 2",
        ),
    ],
    ids=["taken out", "altered", "put in", "made anew"],
)
def test_the_chain_tells_what_was_done_to_it(damage, told):
    """A line taken out, altered, put in, or made anew by somebody who knows how."""
    made = []
    for name in ("a", "b", "c"):
        made.append(following((made[-1].number, made[-1].hash) if made else None, _new(name), utc_now()))
    assert list(verify_entries(made)) == []

    assert told in list(verify_entries(damage(made)))


def _forged(parent):
    return following((1, parent), _new("x"), utc_now())


def _new(name):
    return NewEntry(name, "ann", "pin")


def test_whoever_is_not_named_is_the_user_of_the_machine(monkeypatch):
    """CAIRN_USER comes first; it is cut to what a line takes."""
    monkeypatch.delenv("CAIRN_USER", raising=False)
    assert auditing.whoever() == f"{getpass.getuser()}@{socket.gethostname()}"[:256]

    monkeypatch.setenv("CAIRN_USER", " ann " + "x" * 300)
    assert auditing.whoever() == ("ann " + "x" * 300)[:256]
