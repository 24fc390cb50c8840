"""Logs on the disk: torn ends, damage, other writers, and the index that follows them."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from cairn_runtime.errors import (
    CheckpointCorrupted,
    InvalidInput,
    RunNotFound,
    StoreTooNew,
    StoreUnavailable,
    StoreUnusable,
    Superseded,
)
from cairn_runtime.store import file_index, file_logs, places
from cairn_runtime.store.base import HOLD_GRACE_SECONDS, NewSignal, Outcome, Store
from cairn_runtime.store.chain import is_sealed
from cairn_runtime.store.contract.cases import CODEC, Writer, begun, new_run, seqs
from cairn_runtime.store.file import FileStore
from cairn_runtime.store.opening import open_store, parse_store_url


@pytest.fixture
async def store(tmp_path):
    """A file store, open."""
    opened = await open_store(f"file://{tmp_path}/store")
    yield opened
    await opened.close()


async def reopened(tmp_path: Path) -> Store:
    """Open the same place as another process would, with nothing remembered."""
    return await open_store(f"file://{tmp_path}/store")


def log_of(tmp_path: Path, run_id: str) -> Path:
    return tmp_path / "store" / "runs" / run_id / "run.log"


async def test_a_run_is_a_folder_with_a_log(store, tmp_path):
    """Private, with a mark that says what the folder is."""
    writer = await begun(store)
    await writer.commit()
    await store.heartbeat(writer.run_id, writer.fence)
    await store.put_progress(writer.run_id, writer.fence, "a#1[2]", b"half")
    folder = log_of(tmp_path, writer.run_id).parent

    assert {path.name for path in folder.iterdir()} == {"run.log", "lock", "heartbeat", "progress"}
    assert (folder / "progress" / "a#1[2].progress").read_bytes() == b"half"
    assert {oct(path.stat().st_mode & 0o777) for path in [*folder.glob("[!p]*"), *folder.glob("*/*")]} == {
        "0o600"
    }
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert orjson.loads((tmp_path / "store" / "cairn.json").read_bytes())["schema"] == 1


@pytest.mark.parametrize("task", ["..", ".", "a/b", "a#1[3]", "%2e", "\u00fc b", ".hidden"])
async def test_any_task_name_is_a_file_of_its_own(store, tmp_path, task):
    """No name leads out of the folder."""
    writer = await begun(store)

    await store.put_progress(writer.run_id, writer.fence, task, b"x")

    assert await store.progress(writer.run_id) == {task: b"x"}
    assert len(list((log_of(tmp_path, writer.run_id).parent / "progress").iterdir())) == 1


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "x" * 200, "\u00fc"])
async def test_a_run_id_that_is_no_folder_name_is_refused(store, run_id):
    """Creating says so; reading finds nothing, and nothing outside the store."""
    with pytest.raises(InvalidInput, match="cannot be the name of a folder"):
        await store.create_run(new_run(run_id=run_id))
    with pytest.raises(RunNotFound):
        await store.run(run_id)
    assert await store.checkpoints(run_id) == []


@pytest.mark.parametrize(
    "left", [1, 30, 0.5, -1], ids=["one byte", "the head", "half", "all but the newline"]
)
async def test_a_torn_end_is_dropped(store, tmp_path, left):
    """A crash amid a write leaves what was acknowledged before; the next write goes on from there."""
    writer = await begun(store)
    kept = await writer.commit(2)
    path = log_of(tmp_path, writer.run_id)
    whole = path.read_bytes()
    torn = writer.batch(2)
    await store.commit(writer.run_id, writer.fence, 2, torn[0].write_id, torn)
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: int(len(line) * left) if isinstance(left, float) else left])
    again = await reopened(tmp_path)

    read = await again.load(writer.run_id)
    writer.store = again
    rows = await writer.commit(1)

    assert read == kept
    assert await again.load(writer.run_id) == [*kept, *rows]
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().count(b"\n") == whole.count(b"\n") + 1
    await again.close()


async def test_a_run_whose_first_line_was_torn_was_never_created(store, tmp_path):
    """Creating it again begins it."""
    run = await store.create_run(new_run())
    path = log_of(tmp_path, run.run_id)
    path.write_bytes(path.read_bytes()[:-5])
    again = await reopened(tmp_path)

    with pytest.raises(RunNotFound):
        await again.run(run.run_id)
    created = await again.create_run(new_run(run_id=run.run_id))

    assert created.run_id == run.run_id
    assert path.read_bytes().count(b"\n") == 1
    await again.close()


async def test_readers_do_not_see_a_line_before_its_newline(store, tmp_path):
    """Nor do they change anything."""
    writer = await begun(store)
    await writer.commit()
    path = log_of(tmp_path, writer.run_id)
    with path.open("ab") as log:
        log.write(b"0000001000 00000000 commit 2-2 {")
    before = path.read_bytes()

    assert await seqs(store, writer.run_id) == [1]
    assert path.read_bytes() == before


async def flipped(tmp_path: Path, run_id: str, text: bytes, by: bytes) -> Store:
    """Damage a log and open the store anew."""
    path = log_of(tmp_path, run_id)
    data = path.read_bytes()
    assert text in data
    path.write_bytes(data.replace(text, by, 1))
    return await reopened(tmp_path)


async def test_a_line_that_cannot_be_read_leaves_damaged_checkpoints(store, tmp_path, caplog):
    """In the middle: those before and after it are as they were, and the log says where."""
    writer = await begun(store)
    rows = [row for _ in range(4) for row in await writer.commit()]

    again = await flipped(tmp_path, writer.run_id, b"commit 2-2 {", b"commit 2-2 [")
    read = await again.load(writer.run_id)

    assert [read[0], *read[2:]] == [rows[0], *rows[2:]]
    assert (read[1].seq, read[1].payload, is_sealed(read[1])) == (2, b"", False)
    with pytest.raises(CheckpointCorrupted):
        CODEC.decode_checkpoint(read[1])
    assert "found a damaged line" in caplog.text
    await again.close()


async def test_a_damaged_last_line_is_not_taken_for_a_torn_one(store, tmp_path):
    """It was acknowledged: its checkpoints stand as damaged ones, and the head does not move back."""
    writer = await begun(store)
    await writer.commit()
    await writer.commit(2)

    again = await flipped(tmp_path, writer.run_id, b"commit 2-3 {", b"commit 2-3 [")

    assert (await again.run(writer.run_id)).head_seq == 3
    assert [is_sealed(row) for row in await again.load(writer.run_id)] == [True, False, False]
    await again.close()


async def test_a_writer_goes_on_after_damage(store, tmp_path):
    """With a snapshot behind the damaged head; a prune then moves the damaged line aside."""
    writer = await begun(store)
    await writer.commit(1)
    await writer.commit(1)
    again = await flipped(tmp_path, writer.run_id, b"commit 2-2 {", b"commit 2-2 [")
    writer.store = again

    snapshot = await writer.commit(kind="snapshot", metadata={"skips": [2, 2]})
    await again.prune(writer.run_id, [1, 2])

    assert await again.load(writer.run_id) == snapshot
    assert await seqs(again, writer.run_id) == [3]
    folder = log_of(tmp_path, writer.run_id).parent
    assert b"commit 2-2 [" in (folder / "damaged.log").read_bytes()
    assert b"commit 2-2 [" not in (folder / "run.log").read_bytes()
    await again.close()


async def test_a_run_whose_beginning_is_damaged_leaves_the_others_readable(store, tmp_path, caplog):
    """Reading it is an error of ours that names the file."""
    broken, sound = await begun(store), await begun(store)
    await broken.commit()
    rows = await sound.commit()

    again = await flipped(tmp_path, broken.run_id, b" create 0-0 {", b" create 0-0 [")

    with pytest.raises(CheckpointCorrupted, match="is damaged; the run cannot be read"):
        await again.run(broken.run_id)
    with pytest.raises(CheckpointCorrupted):
        await again.create_run(new_run(run_id=broken.run_id))
    assert [run.run_id for run in await again.runs()] == [sound.run_id]
    assert await again.checkpoint(rows[0].id) == rows[0]
    assert "left out a damaged run" in caplog.text
    await again.close()


async def test_a_spoiled_heartbeat_is_none(store, tmp_path):
    """It is not synced: a crash of the machine may leave it empty."""
    writer = await begun(store)
    await store.heartbeat(writer.run_id, writer.fence)
    (log_of(tmp_path, writer.run_id).parent / "heartbeat").write_bytes(b"")
    row = await store.run(writer.run_id)

    assert row.heartbeat_at == row.updated_at


async def test_a_commit_reads_nothing_of_the_log_again(store, monkeypatch):
    """The thousandth costs what the first did."""
    writer = await begun(store)
    await writer.commit(500)
    sizes: list[int] = []
    pread = os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        sizes.append(count)
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    for _ in range(20):
        await writer.commit()

    assert sum(sizes) == 0


async def test_only_what_others_appended_is_read(store, tmp_path, monkeypatch):
    """A reader follows a writer in another process line by line."""
    writer = await begun(store)
    await writer.commit(500)
    again = await reopened(tmp_path)
    await again.run(writer.run_id)
    rows = await writer.commit()
    sizes: list[int] = []
    pread = os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        sizes.append(count)
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    head = (await again.run(writer.run_id)).head_id

    assert head == rows[0].id
    assert sum(sizes) < 5000
    await again.close()


async def test_a_long_log_is_read_in_pieces(store, tmp_path, monkeypatch):
    """Lines that lie across the pieces are whole."""
    writer = await begun(store)
    rows = await writer.commit(30)
    monkeypatch.setattr(file_logs, "_CHUNK", 700)
    again = await reopened(tmp_path)

    assert await again.load(writer.run_id) == rows
    await again.close()


async def test_a_log_that_was_written_anew_is_read_anew(store, tmp_path):
    """By an opening that knew the old one, in the middle of its work."""
    writer = await begun(store)
    await writer.commit(3, kind="snapshot")
    again = await reopened(tmp_path)
    await again.load(writer.run_id)
    await store.prune(writer.run_id, [1, 2])
    elsewhere = Writer(again, writer.run_id, writer.fence, writer.seq, writer.hash)

    rows = await elsewhere.commit()

    assert await seqs(again, writer.run_id) == await seqs(store, writer.run_id) == [4, 3]
    assert (await store.load(writer.run_id))[-1] == rows[0]
    await again.close()


async def test_a_line_that_was_taken_back_is_forgotten_by_those_who_saw_it(store, tmp_path):
    """A reader met a line between its write and the failure of its sync."""
    writer = await begun(store)
    await writer.commit()
    path = log_of(tmp_path, writer.run_id)
    before = path.read_bytes()
    await writer.commit()
    again = await reopened(tmp_path)
    assert await seqs(again, writer.run_id) == [2, 1]
    path.write_bytes(before)
    third = await reopened(tmp_path)
    elsewhere = Writer(third, writer.run_id, writer.fence, 1, writer.hash)
    rows = await elsewhere.commit(3)

    assert [row.id for row in (await again.load(writer.run_id))[1:]] == [row.id for row in rows]
    await again.close()
    await third.close()


async def test_a_write_that_finds_no_room_is_taken_back(store, tmp_path, monkeypatch):
    """Half a line does not stay, and the same commit succeeds later."""
    writer = await begun(store)
    kept = await writer.commit()
    path = log_of(tmp_path, writer.run_id)
    before = path.read_bytes()
    rows = writer.batch(2)

    def half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_logs, "write_whole", half)
        with pytest.raises(StoreUnavailable, match="make room"):
            await writer.send(rows)
    after = path.read_bytes()
    await writer.send(rows)

    assert after == before
    assert await store.load(writer.run_id) == [*kept, *rows]


async def test_a_write_that_could_not_be_synced_is_taken_back(store, tmp_path, monkeypatch):
    """What was refused must not be found later."""
    writer = await begun(store)
    await writer.commit()
    before = log_of(tmp_path, writer.run_id).read_bytes()
    synced = os.fdatasync
    failures = [OSError(5, "Input/output error")]

    def fail_once(fd: int) -> None:
        if failures:
            raise failures.pop()
        synced(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail_once)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            await writer.commit()

    assert log_of(tmp_path, writer.run_id).read_bytes() == before
    assert await seqs(store, writer.run_id) == [1]


async def test_a_prune_that_fails_changes_nothing(store, monkeypatch):
    """Neither on the disk nor in the index."""
    writer = await begun(store)
    await writer.commit(3, kind="snapshot")

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(places, "write_whole", fail)
        with pytest.raises(StoreUnavailable):
            await store.prune(writer.run_id, [1, 2])

    assert await seqs(store, writer.run_id) == [3, 2, 1]
    assert await store.gaps(writer.run_id) == []
    assert await store.prune(writer.run_id, [1, 2]) == 2


async def test_a_repeated_commit_is_synced_before_it_is_acknowledged(store, tmp_path, monkeypatch):
    """The process that wrote the line may have died between write and sync."""
    writer = await begun(store)
    rows = await writer.commit()
    again = await reopened(tmp_path)
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)

    await again.commit(writer.run_id, writer.fence, 0, rows[0].write_id, rows)

    assert len(syncs) == 1
    await again.close()


async def test_a_lock_that_another_process_holds_can_be_tried_again(tmp_path):
    """After the time to wait; reading goes on meanwhile."""
    store = await open_store(f"file://{tmp_path}/store?timeout=20ms")
    writer = await begun(store)
    fd = os.open(log_of(tmp_path, writer.run_id).parent / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)

    with pytest.raises(StoreUnavailable, match="holds its lock"):
        await writer.commit()
    read = await store.run(writer.run_id)
    os.close(fd)
    await writer.commit()

    assert read.head_seq == 0
    assert (await store.run(writer.run_id)).head_seq == 1
    await store.close()


def open_logs(tmp_path: Path) -> list[str]:
    """The logs that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [file for file in found if file.startswith(str(tmp_path)) and file.endswith("run.log")]


@pytest.mark.parametrize("name", [".", "run.log"], ids=["the folder", "the log"])
async def test_a_run_that_was_taken_away_takes_no_write(store, tmp_path, name):
    """What is appended to a file without a name would be acknowledged, and be gone with the process."""
    writer = await begun(store)
    (log_of(tmp_path, writer.run_id).parent / name).resolve().rename(tmp_path / "away")

    with pytest.raises(RunNotFound):
        await writer.commit()


async def test_more_runs_than_files_can_be_open(store, tmp_path, monkeypatch):
    """The least used are closed, and opened again when they are needed."""
    monkeypatch.setattr(file_index, "OPEN_RUNS", 3)
    writers = [await begun(store) for _ in range(8)]
    for writer in [*writers, *writers]:
        await writer.commit()
    logs = open_logs(tmp_path)

    assert [await seqs(store, writer.run_id) for writer in writers] == [[2, 1]] * 8
    assert len(logs) == 3
    assert len(await store.runs()) == 8


async def test_a_hold_without_a_child_ends_after_the_grace(tmp_path):
    """By the store's clock."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = FileStore(parse_store_url(f"file://{tmp_path}/store"), clock=lambda: now[0])
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


async def test_everything_lasts(store, tmp_path):
    """Row, signals, pins, holds, progress and gaps are read from the disk by the next process."""
    writer = await begun(store)
    rows = await writer.commit(4, kind="snapshot", outcome=Outcome("Running", "why"))
    await store.send(writer.run_id, NewSignal("go", [1], "me"))
    await store.pin(rows[1].id, pinned=True)
    await store.hold(rows[2].id, "child")
    await store.put_progress(writer.run_id, writer.fence, "a#1", b"half")
    await store.prune(writer.run_id, [1])
    again = await reopened(tmp_path)

    assert await again.run(writer.run_id) == await store.run(writer.run_id)
    assert await again.load(writer.run_id) == [rows[3]]
    assert await again.signals(writer.run_id) == await store.signals(writer.run_id)
    assert await again.pins(writer.run_id) == {2}
    assert await again.holds(writer.run_id) == {3: {"child"}}
    assert await again.gaps(writer.run_id) == await store.gaps(writer.run_id) != []
    assert await again.progress(writer.run_id) == {"a#1": b"half"}
    await again.close()


async def test_a_deleted_run_leaves_a_tombstone_and_nothing_else(store, tmp_path):
    """No value of the run stays on the disk."""
    writer = await begun(store, manifest={"secret": "needle"})
    await writer.commit(metadata={"secret": "needle"})
    await store.put_progress(writer.run_id, writer.fence, "a#1", b"needle")
    await store.send(writer.run_id, NewSignal("go", "needle", "me"))
    await store.delete_run(writer.run_id)
    folder = log_of(tmp_path, writer.run_id).parent
    again = await reopened(tmp_path)

    assert not any(b"needle" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    with pytest.raises(RunNotFound):
        await Writer(again, writer.run_id, writer.fence).commit()
    await again.close()


async def test_a_stale_claim_in_another_process_is_superseded(store, tmp_path):
    """The fence is read from the log, not remembered."""
    writer = await begun(store)
    await writer.commit()
    again = await reopened(tmp_path)
    await again.claim(writer.run_id, 1, "newer")

    with pytest.raises(Superseded):
        await writer.commit()
    await again.close()


@pytest.mark.parametrize(
    ("files", "kind", "text"),
    [
        pytest.param(
            {"notes.txt": b"hello"}, StoreUnusable, "holds other files", id="a folder of something else"
        ),
        pytest.param({"cairn.json": b"{"}, StoreUnusable, "is not the mark", id="a broken mark"),
        pytest.param(
            {"cairn.json": b'{"format":"x","schema":1}'}, StoreUnusable, "is not the mark", id="another mark"
        ),
        pytest.param(
            {"cairn.json": b'{"format":"cairn file store","schema":2}'},
            StoreTooNew,
            "schema version 2",
            id="a newer one",
        ),
    ],
)
async def test_a_folder_that_is_no_store_is_refused_and_left_alone(tmp_path, files, kind, text):
    """Nothing is written into it."""
    place = tmp_path / "store"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)

    with pytest.raises(kind, match=text):
        await reopened(tmp_path)

    assert {path.name: path.read_bytes() for path in place.iterdir()} == files


async def test_an_opening_that_died_before_its_mark_is_no_obstacle(tmp_path):
    """Its temporary file is not taken for something of others."""
    place = tmp_path / "store"
    place.mkdir()
    (place / ".cairn.json0190.new").write_bytes(b"{")

    store = await reopened(tmp_path)

    assert await store.runs() == []
    await store.close()


async def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """Locks of one machine mean nothing there."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 1 0:1 / {tmp_path}/store rw - nfs server:/x rw\n")
    monkeypatch.setattr(places, "_MOUNTS", mounts)

    with pytest.raises(StoreUnusable, match="network file system"):
        await reopened(tmp_path)
