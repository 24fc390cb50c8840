"""`cairn store`: check, migrate, new-key, rekey."""

from __future__ import annotations

import asyncio
import stat

import pytest
from tests.unit.store.rings import codec, key_file, key_text

from cairn_runtime.engine.history import newest_valid, open_progress
from cairn_runtime.errors import NotEncrypted
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.opening import open_store


def reading(url, run_id, ours):
    """Fold a run's state and read its progress with a codec, in a loop of its own."""

    async def go():
        store = await open_store(url)
        try:
            newest = await newest_valid(store, ours, await store.run(run_id))
            return newest.folded.state.channels, await open_progress(store, ours, run_id)
        finally:
            await store.close()

    return asyncio.run(go())


def test_check_says_how_a_store_is(cairn, url, waiting):
    """What durable means, how quick it is, its schema and its size."""
    said = cairn("store", "check", "--store", url, "-o", "json")

    assert said.code == 0
    assert said.document["kind"] == "sqlite"
    assert said.document["usedBytes"] > 0
    assert said.document["latencySeconds"] >= 0
    people = cairn("store", "check", "--store", url)
    assert people.out.startswith(f"{url}: answers in ")
    assert "durable: written to the log of the SQLite file" in people.out


def test_check_makes_no_store(cairn, url, tmp_path):
    """Where there is none it says so."""
    assert cairn("store", "check", "--store", url).code == 4
    assert list(tmp_path.iterdir()) == []


def test_migrate_answers_the_schema(cairn, url):
    """A store that is not there is made, as by the first run."""
    said = cairn("store", "migrate", "--store", url, "-o", "json")

    assert said.code == 0
    assert said.document["schemaVersion"] >= 2
    assert (
        cairn("store", "migrate", "--store", url).out == f"{url}: schema {said.document['schemaVersion']}\n"
    )


def test_a_new_key_is_written_and_never_shown(cairn, tmp_path):
    """A new file is its user's alone; the second key only reads, a third that is first writes."""
    path = tmp_path / "keys.txt"

    said = [
        cairn("store", "new-key", "keys.txt", "--name", name, *more)
        for name, *more in (("a",), ("b",), ("c", "--first"))
    ]

    assert [one.code for one in said] == [0, 0, 0]
    assert [line.split(":")[0] for line in path.read_text().splitlines()] == ["c", "a", "b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "writes from now on" in said[0].out
    assert "writes once its line is the first" in said[1].out
    shown = "".join(one.out + one.err for one in said)
    assert not any(line.split(": ")[1] in shown for line in path.read_text().splitlines())
    assert [file.name for file in tmp_path.iterdir()] == ["keys.txt"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("new-key",), 2, "FILE: is missing"),
        (("new-key", "keys.txt", "--name", "old"), 78, '--name: key "old" is there already; give another'),
        (("new-key", "none/keys.txt"), 69, "No such file"),
        (("rekey",), 78, "CAIRN_KEYS_FILE: is not set"),
        (("polish",), 2, "'polish' is not one of"),
    ],
    ids=["no file", "a name that is taken", "no folder", "no keys", "no such care"],
)
def test_what_cannot_be_done_is_said(cairn, url, waiting, tmp_path, args, code, said):
    """With the exit code of its kind; the file stays as it was."""
    (tmp_path / "keys.txt").write_text(text := f"old: {key_text('old')}\n")

    heard = cairn("store", *args, "--store", url)

    assert (heard.code, said in heard.err) == (code, True), heard.err
    assert (tmp_path / "keys.txt").read_text() == text


def test_rekey_encrypts_a_store_and_changes_no_history(cairn, url, waiting, write, tmp_path, monkeypatch):
    """Plain payloads and progress first, then those of an old key; states and hashes are the same."""

    async def save(store):
        run = await store.run(waiting.run_id)
        await store.put_progress(run.run_id, run.fence, "fetch#1[0]", b'{"half": 1}')
        return await store.checkpoints(run.run_id)

    before = write(save)
    state, progress = reading(url, waiting.run_id, Codec())

    for names, already in ((("one",), 0), (("two", "one"), 0), (("two",), 7)):
        path = key_file(tmp_path, *names, plain="refuse")
        monkeypatch.setenv("CAIRN_KEYS_FILE", str(path))
        said = cairn("store", "rekey", "--store", url, "-o", "json")
        assert said.code == 0
        assert said.document == {
            "runs": 1,
            "payloads": 7 - already,
            "progress": 0 if already else 1,
            "already": already,
            "overtaken": 0,
            "unreadable": 0,
        }
        assert reading(url, waiting.run_id, codec(tmp_path, names[0], plain="refuse")) == (state, progress)
    assert write(lambda store: store.checkpoints(waiting.run_id)) == before
    assert cairn("verify", "--store", url).code == 0
    people = cairn("store", "rekey", "--store", url)
    assert people.out == "encrypted 0 payloads of 1 run with the first key; 7 had it already\n"


def test_rekey_names_what_it_cannot_read(cairn, url, waiting, tmp_path, monkeypatch):
    """The key is lost: everything stays, the exit code is 1, and nobody throws an old key away."""
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path, "one")))
    assert cairn("store", "rekey", "--store", url).code == 0
    key_file(tmp_path, "two")

    said = cairn("store", "rekey", "--store", url, "-o", "json")

    assert (said.code, said.document["payloads"], said.document["unreadable"]) == (1, 0, 7)
    assert said.document["error"]["faults"][0]["path"].startswith(f"{waiting.run_id}/")
    people = cairn("store", "rekey", "--store", url)
    assert people.code == 1
    assert "7 could not be read and stay as they are; keep the old keys" in people.out


def test_verify_without_keys_proves_the_headers(cairn, url, waiting, tmp_path, monkeypatch):
    """It says that it read no payload; with another key they cannot be proved, and that is a fault."""
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path, "one")))
    assert cairn("store", "rekey", "--store", url).code == 0
    assert cairn("verify", "--store", url, "-o", "json").document["runs"][0]["unread"] == 0

    monkeypatch.delenv("CAIRN_KEYS_FILE")
    said, people = cairn("verify", "--store", url, "-o", "json"), cairn("verify", "--store", url)
    assert (said.code, said.document["runs"][0]["unread"]) == (0, 7)
    assert "headers only: 7 payloads encrypted" in people.out

    monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path, "two")))
    assert cairn("verify", "--store", url).code == 1


def test_looking_without_the_key_is_told_what_is_missing(cairn, url, waiting, tmp_path, monkeypatch):
    """Exit code 78 and the fingerprint; names of steps and checkpoints are shown as before."""
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(key_file(tmp_path, "one")))
    assert cairn("store", "rekey", "--store", url).code == 0
    state = cairn("state", "digest", "--store", url).out
    monkeypatch.delenv("CAIRN_KEYS_FILE")

    said = cairn("state", "digest", "--store", url)

    assert (said.code, said.out) == (78, "")
    assert "CAIRN_KEYS_FILE" in said.err
    assert cairn("checkpoints", "digest", "--store", url).code == 0
    assert state


def test_what_is_plain_is_refused_where_the_keys_say_so(url, waiting, tmp_path):
    """Somebody who may write the database, and has no key, brings no state in."""
    with pytest.raises(NotEncrypted):
        reading(url, waiting.run_id, codec(tmp_path, "one", plain="refuse"))
    assert reading(url, waiting.run_id, codec(tmp_path, "one"))
