"""SQLite files as stores: where they stand, what they were before, and what their errors mean."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cairn_runtime.errors import (
    CheckpointCorrupted,
    StoreTooNew,
    StoreUnavailable,
    StoreUnusable,
)
from cairn_runtime.store import places, sqlite_files
from cairn_runtime.store.base import HOLD_GRACE_SECONDS, NewSignal
from cairn_runtime.store.contract.cases import begun, new_run, seqs
from cairn_runtime.store.opening import open_store, parse_store_url
from cairn_runtime.store.queries import Migration
from cairn_runtime.store.sqlite import BlockingSQLite, SQLiteStore
from cairn_runtime.store.sqlite_files import APPLICATION_ID, SCHEMA_VERSION, fault, migrate, statements


def url(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


def connection_of(store: SQLiteStore) -> sqlite3.Connection:
    """The connection on the store's thread; for pragmas between two calls."""
    inner = store._inner
    assert isinstance(inner, BlockingSQLite)
    return inner._db.connection


async def on_thread(store: SQLiteStore, sql: str) -> object:
    """Carry out SQL on the store's own connection."""

    async def execute() -> object:
        return connection_of(store).execute(sql).fetchall()

    return await store._on_thread(execute())


async def test_a_new_store_is_private_durable_and_marked(tmp_path):
    """Mode 0600 in a folder of 0700, WAL with full syncs, our application id and version."""
    path = tmp_path / "new" / "cairn.db"
    store = await open_store(url(path))
    assert isinstance(store, SQLiteStore)
    await begun(store)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new" / "cairn.db-wal").stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert await on_thread(store, "PRAGMA journal_mode") == [("wal",)]
    assert await on_thread(store, "PRAGMA synchronous") == [(2,)]
    assert await on_thread(store, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert await on_thread(store, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    await store.close()


async def test_health_tells_of_the_file_and_the_disk(tmp_path):
    """Bytes used grow with what is committed."""
    store = await open_store(url(tmp_path / "cairn.db"))
    before = await store.check()
    await (await begun(store)).commit(20)
    after = await store.check()
    await store.close()

    assert (after.kind, after.schema_version) == ("sqlite", SCHEMA_VERSION)
    assert "synced" in after.durable
    assert (after.used_bytes or 0) > (before.used_bytes or 0)
    assert (after.free_bytes or 0) > 0


async def refused(path: Path, kind: type[Exception], text: str, options: str = "") -> None:
    """Opening fails with this error and names the file."""
    with pytest.raises(kind, match=text) as caught:
        await open_store(url(path, options))
    assert str(path) in str(caught.value)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    """Somebody's text is not overwritten."""
    path = tmp_path / "cairn.db"
    path.write_text("dear diary, " * 500)

    await refused(path, StoreUnusable, "not a Cairn store")

    assert path.read_text().startswith("dear diary")


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    """Whether it has an application id or only tables."""
    for n, sql in enumerate(["CREATE TABLE t (x)", "PRAGMA application_id=7"]):
        path = tmp_path / f"{n}.db"
        with sqlite3.connect(path) as db:
            db.execute(sql)
        db.close()
        before = path.read_bytes()

        await refused(path, StoreUnusable, "another program")

        assert path.read_bytes() == before


async def test_an_empty_file_becomes_a_store(tmp_path):
    """A file made by hand, or by a process that died at once."""
    path = tmp_path / "cairn.db"
    path.touch()

    store = await open_store(url(path))

    assert await store.runs() == []
    await store.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    """The text says which version and what to do; nothing is written."""
    path = tmp_path / "cairn.db"
    await (await open_store(url(path))).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()

    await refused(path, StoreTooNew, f"schema version {SCHEMA_VERSION + 1}, written by a newer release")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        pytest.param(lambda path: path.mkdir(), "is a folder", id="a folder"),
        pytest.param(lambda path: path.symlink_to(path), "this user may not", id="a link to itself"),
    ],
)
async def test_what_is_no_file_is_refused(tmp_path, make, text):
    """A store is a file that can be read and written."""
    path = tmp_path / "cairn.db"
    make(path)

    await refused(path, StoreUnusable, text)


async def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path):
    """The folder cannot be made."""
    (tmp_path / "a").write_text("")

    with pytest.raises(StoreUnusable, match="a/b: Not a directory"):
        await open_store(url(tmp_path / "a" / "b" / "cairn.db"))


async def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """Before anything is made there."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 1 0:1 / {tmp_path}/net rw - cifs //server/share rw\n")
    monkeypatch.setattr(places, "_MOUNTS", mounts)

    await refused(tmp_path / "net" / "cairn.db", StoreUnusable, "network file system")

    assert not (tmp_path / "net").exists()


OPEN = """
import asyncio, os, sys
from cairn_runtime.errors import CairnError
from cairn_runtime.store.contract.cases import begun
from cairn_runtime.store.opening import store_for
async def main():
    store = store_for(sys.argv[1])
    if os.geteuid() == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    try:
        await store.open()
        await begun(store)
    except CairnError as error:
        print(type(error).__name__, error.message)
    else:
        print("opened")
asyncio.run(main())
"""


def opened_as_nobody(path: Path) -> str:
    """Open a store as a user that owns nothing, for whom modes count also if we are root."""
    command = [sys.executable, "-c", OPEN, url(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def open_folder():
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o777)
        yield place
        place.chmod(0o700)


async def test_a_file_that_is_read_only_is_refused(open_folder):
    """The text says that the user may not write."""
    path = open_folder / "cairn.db"
    await (await open_store(url(path))).close()
    open_folder.chmod(0o555)
    path.chmod(0o444)

    assert opened_as_nobody(path).startswith(f"StoreUnusable {path}: this user may not read and write it")


async def test_a_folder_that_is_read_only_is_refused(open_folder):
    """Both for a new file and for one that is there, whose log cannot be written beside it."""
    path = open_folder / "cairn.db"
    open_folder.chmod(0o555)
    new = opened_as_nobody(path)
    open_folder.chmod(0o777)
    await (await open_store(url(path))).close()
    path.chmod(0o666)
    open_folder.chmod(0o555)
    there = opened_as_nobody(path)

    assert new.startswith(f"StoreUnusable {path}: Permission denied")
    assert there.startswith(f"StoreUnusable {path}: ")
    assert "may write to" in there


async def test_a_file_locked_by_another_process_can_be_tried_again(tmp_path):
    """After the time to wait, and nothing was written; later the same commit succeeds."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path, "?timeout=50ms"))
    writer = await begun(store)
    rows = writer.batch(2)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="another process is writing"):
        await writer.send(rows)
    read = await store.checkpoints(writer.run_id)
    other.execute("ROLLBACK")
    other.close()
    await writer.send(rows)

    assert read == []
    assert await store.load(writer.run_id) == rows
    await store.close()


async def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path):
    """The commit that found no room can be sent again when there is some."""
    store = await open_store(url(tmp_path / "cairn.db"))
    assert isinstance(store, SQLiteStore)
    writer = await begun(store)
    kept = await writer.commit(2)
    rows = writer.batch(1, payload=os.urandom(300_000), size=300_000)
    await on_thread(store, "PRAGMA max_page_count=60")

    with pytest.raises(StoreUnavailable, match="make room"):
        await writer.send(rows)
    left = await store.load(writer.run_id)
    await on_thread(store, "PRAGMA max_page_count=100000")
    await writer.send(rows)

    assert left == kept
    assert await store.load(writer.run_id) == [*kept, *rows]
    await store.close()


@pytest.mark.parametrize(
    "first_page", [pytest.param(1, id="while opening"), pytest.param(30, id="while reading checkpoints")]
)
async def test_a_damaged_page_is_named_as_such(tmp_path, first_page):
    """Not a traceback, and not a reason to try again for ever."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    writer = await begun(store)
    await writer.commit(300)
    await store.close()
    data = bytearray(path.read_bytes())
    for at in range(4096 * first_page, len(data), 4096):
        data[at : at + 16] = b"\xff" * 16
    path.write_bytes(data)

    async def read() -> None:
        async with AsyncExitStack() as stack:
            again = await open_store(url(path))
            stack.push_async_callback(again.close)
            await again.load(writer.run_id)

    with pytest.raises(StoreUnusable, match="damaged: put back a copy") as caught:
        await read()

    assert not caught.value.retryable


async def damaged(path: Path, sql: str) -> None:
    """Change rows behind the store's back."""
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()


@pytest.mark.parametrize(
    "column",
    [
        "metadata = '{'",
        "metadata = '[1]'",
        "next = 'x'",
        "created_at = 'yesterday'",
        "format_version = 'one'",
        "hash = x'00', step = x'01'",
        "visit = x'00'",
        "next = CAST(x'ff22' AS TEXT)",
    ],
)
async def test_a_damaged_column_leaves_the_other_rows_readable(tmp_path, column):
    """The row comes out, visibly changed; those beside it as they were."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    writer = await begun(store)
    rows = await writer.commit(3)
    await damaged(path, f"UPDATE checkpoints SET {column} WHERE key % 4294967296 = 2")

    read = await store.load(writer.run_id)

    assert [read[0], read[2]] == [rows[0], rows[2]]
    assert (read[1].seq, read[1].payload) == (2, rows[1].payload)
    assert read[1] != rows[1]
    await store.close()


async def test_a_store_without_its_own_row_is_damaged(tmp_path):
    """A file of ours in which the one row that is always there is not."""
    path = tmp_path / "cairn.db"
    await (await open_store(url(path))).close()
    await damaged(path, "DELETE FROM meta")

    await refused(path, StoreUnusable, "damaged")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runs SET manifest = '{' WHERE run = 1",
        "UPDATE heads SET waits = '[1]' WHERE run = 1",
        "UPDATE heads SET epoch = 'x' WHERE run = 1",
        "UPDATE heads SET phase = x'00' WHERE run = 1",
    ],
)
async def test_a_damaged_run_leaves_the_others_readable(tmp_path, sql, caplog):
    """Reading it is an error of ours; listing goes on without it and says so in the log."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    broken, sound = await begun(store), await begun(store)
    await damaged(path, sql)

    with pytest.raises(CheckpointCorrupted, match=broken.run_id):
        await store.run(broken.run_id)

    assert [run.run_id for run in await store.runs()] == [sound.run_id]
    assert [record.run_id for record in caplog.records] == [broken.run_id]
    assert set(await store.heads([sound.run_id, broken.run_id])) >= {sound.run_id}
    await store.close()


async def test_a_damaged_head_leaves_the_others_readable(tmp_path):
    """Also where many are read at once."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    broken, sound = await begun(store), await begun(store)
    await damaged(path, "UPDATE heads SET updated_at = 'x' WHERE run = 1")

    assert list(await store.heads([broken.run_id, sound.run_id])) == [sound.run_id]
    await store.close()


async def test_a_damaged_signal_is_an_error_of_ours(tmp_path):
    """It names the signal and the run."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    writer = await begun(store)
    await store.send(writer.run_id, NewSignal("go", 1, "me"))
    await damaged(path, "UPDATE signals SET value = '{'")

    with pytest.raises(CheckpointCorrupted, match=f"signal 1 of run {writer.run_id}"):
        await store.signals(writer.run_id)
    await store.close()


async def test_a_cursor_from_before_a_copy_was_put_back_hides_nothing(tmp_path):
    """The file has fewer changes than the cursor has seen."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    run = await store.create_run(new_run())
    await store.close()
    copy = path.read_bytes()
    store = await open_store(url(path))
    for _ in range(3):
        await store.create_run(new_run())
    _, cursor = await store.changed("")
    await store.close()
    path.write_bytes(copy)
    store = await open_store(url(path))

    assert (await store.changed(cursor))[0] == [run.run_id]
    await store.close()


async def test_a_hold_without_a_child_ends_after_the_grace(tmp_path):
    """By the store's clock; a fork that died on the way keeps nothing for ever."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = SQLiteStore(parse_store_url(url(tmp_path / "cairn.db")), clock=lambda: now[0])
    await store.open()
    writer = await begun(store)
    rows = await writer.commit(3, kind="snapshot")
    await store.hold(rows[0].id, "never-created")

    now[0] += timedelta(seconds=HOLD_GRACE_SECONDS - 1)
    await store.prune(writer.run_id, [1, 2])
    within = await seqs(store, writer.run_id)
    now[0] += timedelta(seconds=1)
    await store.prune(writer.run_id, [1, 2])

    assert within == [3, 1]
    assert await seqs(store, writer.run_id) == [3]
    await store.close()


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "another one in its place"])
async def test_a_file_that_was_taken_away_takes_no_write(tmp_path, replaced):
    """What is written to it would be acknowledged, and be gone with the process."""
    path = tmp_path / "cairn.db"
    store = await open_store(url(path))
    writer = await begun(store)
    path.rename(tmp_path / "away.db")
    if replaced:
        other = await open_store(url(path))
        await other.close()

    with pytest.raises(StoreUnusable, match="removed or replaced"):
        await writer.commit()
    await store.close()


async def test_the_time_of_a_signal_is_taken_when_its_turn_has_come(tmp_path):
    """Else one that waited for another writer is accepted with a time before a deadline that is over."""
    path = tmp_path / "cairn.db"
    writing = []

    def clock():
        with closing(sqlite3.connect(path, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                writing.append(True)
            else:
                writing.append(False)
        return datetime.now(UTC)

    store = SQLiteStore(parse_store_url(url(path)), clock=clock)
    await store.open()
    writer = await begun(store)
    writing.clear()
    await store.send(writer.run_id, NewSignal("go", 1, "client"))

    assert writing == [True]
    await store.close()


def test_a_script_is_split_into_statements():
    """Semicolons in text and comments do not end one."""
    script = "-- a; b\nCREATE TABLE t (\n  x TEXT DEFAULT ';'\n);\n\nINSERT INTO t VALUES ('a;\nb');\n"

    assert statements(script) == [
        "-- a; b\nCREATE TABLE t (\n  x TEXT DEFAULT ';'\n);",
        "INSERT INTO t VALUES ('a;\nb');",
    ]


FIRST = Migration(1, "01_a.sql", "CREATE TABLE a (x);\n")
SECOND = Migration(2, "02_b.sql", "CREATE TABLE b (x);\nINSERT INTO b SELECT x + 1 FROM a;\n")
BROKEN = Migration(3, "03_c.sql", "CREATE TABLE c (x);\nCREATE TABLE c (x);\n")


def tables(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_only_the_steps_that_are_missing_are_applied(tmp_path):
    """Forward, one after the other, and nothing at all the second time."""
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)

    assert migrate(db, tmp_path, [FIRST]) == 1
    db.execute("INSERT INTO a VALUES (41)")
    assert migrate(db, tmp_path, [FIRST, SECOND]) == 2
    assert migrate(db, tmp_path, [FIRST, SECOND]) == 2
    assert db.execute("SELECT x FROM b").fetchall() == [(42,)]
    db.close()


def test_a_step_that_fails_leaves_the_schema_as_it_was(tmp_path):
    """All steps of one opening are one transaction."""
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    migrate(db, tmp_path, [FIRST])

    with pytest.raises(sqlite3.OperationalError):
        migrate(db, tmp_path, [FIRST, SECOND, BROKEN])

    assert tables(db) == {"a"}
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_mistakes_of_ours_are_not_blamed_on_the_disk():
    """A wrong number of arguments is no fault of the store."""
    db = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        db.execute("SELECT ?", ())
    db.close()

    assert fault(caught.value, Path("x")) is None
    assert fault(KeyError("x"), Path("x")) is None


def test_an_old_sqlite_is_refused(tmp_path, monkeypatch):
    """With the version that is needed."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 22, 0))

    with pytest.raises(StoreUnusable, match="needs 3"):
        sqlite_files.open_file(tmp_path / "x.db", timeout_seconds=1)
