"""`cairn audit`: who asked for what, written before it is done."""

from __future__ import annotations

import getpass
import socket

import pytest
from tests.unit.cli.builders import waiting_run

from cairn_runtime.model.ids import utc_now
from cairn_runtime.runner import auditing, starting
from cairn_runtime.runner.answering import send_signal
from cairn_runtime.runner.forking import ForkRequest, fork_run
from cairn_runtime.store.audits import following, verify_entries
from cairn_runtime.store.base import NewEntry
from cairn_runtime.store.codec import Codec


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


def test_ids_are_short_for_people(cairn, url, write):
    """By their ends, as everywhere; programs get them whole."""
    run = write(waiting_run)
    cairn("pin", f"{run.run_id}/1", "--store", url)

    said = cairn("audit", "--store", url)

    assert f" {run.run_id[-8:]}/" in said.out
    assert run.run_id not in said.out
    assert run.run_id in cairn("audit", "--store", url, "-o", "json").out


def test_each_who_asks_for_an_end_has_a_line(cairn, url, write, lines, monkeypatch):
    """What one asked for did not come off; the other's wish is not hidden behind that line."""
    run = write(waiting_run)

    async def refused(store):
        monkeypatch.setenv("CAIRN_USER", "ann")
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(starting, "take_run", _died)
                with pytest.raises(ConnectionError):
                    await starting.cancel_run(store, run)

    write(refused)
    monkeypatch.setenv("CAIRN_USER", "bob")
    cairn("cancel", run.run_id, "--store", url)

    assert lines() == [("ann", "cancel", run.run_id, ""), ("bob", "cancel", run.run_id, "")]


async def _died(*_):
    raise ConnectionError


def test_answers_forks_and_copies_leave_lines(cairn, url, write, lines, tmp_path):
    """A patch is told from a resume; a copy that is as the file is none of anybody's doing."""
    run = write(waiting_run)
    signal = ("signal", run.run_id, "hello", "--store", url)
    cairn("approve", run.run_id, "--store", url)
    cairn(*signal)
    cairn("export", "--all", "-f", "dump.zst", "--store", url)
    for verb in ("cancel", "release", "delete"):
        cairn(verb, run.run_id, *(["--yes"] if verb == "delete" else []), "--store", url)

    assert [what for _, what, _, _ in lines()] == ["approve", "signal", "cancel", "release", "delete"]
    other = f"sqlite:///{tmp_path}/other.db"
    for _ in range(2):
        cairn("import", "dump.zst", "--store", other)
    found = cairn("audit", "--store", other, "-o", "json").document["lines"]
    assert [(line["what"], line["to"]) for line in found] == [("import", run.run_id)]


@pytest.mark.parametrize(("patch", "what"), [({}, "resume"), ({"score": 9}, "patch")])
def test_a_patch_is_told_from_a_resume(write, patch, what):
    """Both are forks; only one changes what was computed."""

    async def forked(store):
        run = await waiting_run(store)
        head = (await store.checkpoints(run.run_id, limit=1))[0]
        child = await fork_run(store, Codec(), ForkRequest(head, state_patch=patch))
        (line,) = await store.audits()
        assert (line.what, line.source) == (what, f"{run.run_id}/{head.id}")
        assert line.target == child.run_id

    write(forked)


def test_answers_with_long_names_of_their_own_are_two_lines(write):
    """A caller's id may be longer than a line's, and must not make two answers one."""

    async def sent(store):
        run = await waiting_run(store)
        for end in "12":
            await send_signal(store, run, "hello", None, client_id="c" * 120 + end)
        assert [line.what for line in await store.audits()] == ["signal", "signal"]

    write(sent)


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
