"""Archives: what goes out comes in again as it was, and nothing else does."""

from __future__ import annotations

import io
from base64 import b64encode
from hashlib import sha256

import orjson
import pytest
import zstandard

from cairn_runtime.errors import FormatUnknown, HistoryConflict, InvalidInput
from cairn_runtime.model.ids import new_id
from cairn_runtime.runner.archives import files
from cairn_runtime.runner.archives.arrivals import IMPORTED, Wishes
from cairn_runtime.runner.archives.exporting import Exporter
from cairn_runtime.runner.archives.importing import Importer
from cairn_runtime.store.base import IMPORTING, Outcome
from cairn_runtime.store.chain import sealed, verify_history
from cairn_runtime.store.codec import Codec
from cairn_runtime.store.contract.cases import Writer, begun
from cairn_runtime.store.contract.pictures import picture
from cairn_runtime.store.memory import MemoryStore
from cairn_runtime.store.opening import parse_store_url


@pytest.fixture
async def here():
    """The store that exports."""
    store = MemoryStore(parse_store_url("memory:"))
    await store.open()
    return store


@pytest.fixture
async def there():
    """The store that imports."""
    store = MemoryStore(parse_store_url("memory:"))
    await store.open()
    return store


async def archive(store, *run_ids):
    """The lines of an export, and its report."""
    exporter = Exporter(store, "0.1.0")
    return [line async for line in exporter.lines(run_ids)], exporter.report


async def bring(store, lines, **wishes):
    """Import lines; answers the report."""
    return await Importer(store, Codec(), Wishes(**wishes)).take(lines)


async def history(store, kinds="ddSdd", outcome=None, **changes):
    """A run with a history of deltas and snapshots."""
    writer = await begun(store, **changes)
    for kind in kinds:
        await writer.commit(kind="snapshot" if kind == "S" else "delta")
    if outcome is not None:
        await writer.change(outcome)
    return writer


def resealed(lines, number, **changes):
    """Change fields of a checkpoint's line and write the trailer's digest anew, as a forger would."""
    line = orjson.loads(lines[number])
    line["checkpoint"] |= changes
    return signed([*lines[:number], orjson.dumps(line) + b"\n", *lines[number + 1 :]])


def signed(lines):
    """Give lines a trailer that fits."""
    trailer = orjson.loads(lines[-1])
    trailer["trailer"]["sha256"] = sha256(b"".join(lines[:-1])).hexdigest()
    return [*lines[:-1], orjson.dumps(trailer) + b"\n"]


async def test_a_finished_run_comes_as_it_was(here, there):
    """Ids, hashes, bytes, gaps, pins, progress and the last word; the fence is another."""
    writer = await history(here, "SSSdd", annotations={"note": 1})
    await here.put_progress(writer.run_id, writer.fence, "draft#1", b"\x00half")
    await writer.change(Outcome("Succeeded", "", "well"))
    rows = await here.checkpoints(writer.run_id)
    await here.pin(rows[-1].id, pinned=True)
    await here.prune(writer.run_id, [2])

    lines, report = await archive(here, writer.run_id)
    arrived = await bring(there, lines)

    one, two = await picture(here, writer.run_id), await picture(there, writer.run_id)
    for part in ("loaded", "checkpoints", "progress", "pins", "gaps"):
        assert two[part] == one[part]
    assert await there.read(writer.run_id) == await here.read(writer.run_id)
    assert (two["row"].phase, two["row"].message) == ("Succeeded", "well")
    assert two["row"].fence != one["row"].fence
    assert (report.runs, report.checkpoints, report.left) == (1, 4, [])
    assert (arrived.runs, arrived.checkpoints, arrived.bytes) == (1, 4, report.bytes)
    assert two["row"].annotations["note"] == 1


async def test_a_long_history_comes_batch_by_batch(here, there):
    """More checkpoints than one step appends, some pruned; and a copy that is prolonged by as many."""
    writer = await history(here, "")
    for _ in range(5):
        await writer.commit(99)
        await writer.commit(kind="snapshot")
    await here.prune(writer.run_id, list(range(150, 260)))
    assert (await bring(there, (await archive(here, writer.run_id))[0])).left == []
    for _ in range(5):
        await writer.commit(100)

    report = await bring(there, (await archive(here, writer.run_id))[0])

    assert (report.left, report.checkpoints) == ([], 500)
    assert await there.read(writer.run_id) == await here.read(writer.run_id)
    assert await there.gaps(writer.run_id) == await here.gaps(writer.run_id)


class Refusing(MemoryStore):
    """Refuses the second batch of a run."""

    async def import_checkpoints(self, run_id, fence, expected_head, checkpoints, gaps):
        if expected_head:
            raise HistoryConflict("another checkpoint has this id")
        await super().import_checkpoints(run_id, fence, expected_head, checkpoints, gaps)


async def test_a_batch_that_is_refused_ends_its_run_only(here):
    """It is written while the next lines are read: what it met is told all the same, once."""
    store = Refusing(parse_store_url("memory:"))
    await store.open()
    long, short = await history(here, ""), await history(here)
    await long.commit(450)

    report = await bring(store, (await archive(here, long.run_id, short.run_id))[0])

    assert [(left.run, left.reason) for left in report.left] == [(long.run_id, "HistoryConflict")]
    assert report.runs == 1
    assert (await store.run(long.run_id)).reason == IMPORTING


@pytest.mark.parametrize("phase", ["Pending", "Running", "Waiting", "Suspended"])
async def test_an_unfinished_run_arrives_stopped(here, there, phase):
    """Nobody who looks for unfinished runs finds it; its note tells what it was."""
    writer = await history(here, "dd", Outcome(phase))

    await bring(there, (await archive(here, writer.run_id))[0])

    run = await there.run(writer.run_id)
    assert (run.phase, run.reason, run.finished) == ("Cancelled", IMPORTED, True)
    assert run.annotations["imported"]["phase"] == phase


async def test_the_same_again_writes_nothing(here, there):
    """A second import of a file, and the import of a run into the store that it comes from."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)
    await bring(there, lines)
    before = await picture(there, writer.run_id), await picture(here, writer.run_id)

    again, back = await bring(there, lines), await bring(here, lines)

    assert (again.there, again.runs, again.left) == (back.there, back.runs, back.left) == (1, 0, [])
    assert (await picture(there, writer.run_id), await picture(here, writer.run_id)) == before
    assert [line.what for line in await there.audits()] == ["import"]
    assert await here.audits() == []


async def test_a_later_export_goes_on_with_a_copy(here, there):
    """What came since is appended; a gap over the copy's head begins behind it."""
    writer = await history(here, "SS")
    await bring(there, (await archive(here, writer.run_id))[0])
    await writer.commit(3, kind="snapshot")
    await here.prune(writer.run_id, [1, 3, 4])

    report = await bring(there, (await archive(here, writer.run_id))[0])

    assert [row.seq for row in await there.read(writer.run_id)] == [1, 2, 5]
    assert [line.target for line in await there.audits()] == [writer.run_id] * 2
    assert report.checkpoints == 1
    headers = await there.checkpoints(writer.run_id)
    assert not any(f.fault for f in verify_history(headers, await there.gaps(writer.run_id)))


async def test_an_import_that_was_broken_off_is_gone_on_with(here, there):
    """At any line: the run stays stopped until all of it is there, and comes to the same end."""
    writer = await history(here, "SdSd", Outcome("Succeeded"))
    lines, _ = await archive(here, writer.run_id)

    for end in range(2, len(lines)):
        store = MemoryStore(parse_store_url("memory:"))
        await store.open()
        with pytest.raises(InvalidInput, match="cut short"):
            await bring(store, lines[:end])
        run = await store.run(writer.run_id)
        ended = any(b'"end"' in line[:8] for line in lines[:end])
        assert (run.phase, run.reason) == (("Succeeded", "") if ended else ("Cancelled", IMPORTING))
        assert (await bring(store, lines)).left == []
        assert await store.read(writer.run_id) == await here.read(writer.run_id)
        assert (await store.run(writer.run_id)).phase == "Succeeded"


async def test_another_history_under_the_id_is_not_touched(here, there):
    """The run that lives here stays as it is, and the rest is imported."""
    mine = await history(here, "ddd")
    other = await history(here, "d")
    await history(there, "dddd", run_id=mine.run_id)
    before = await picture(there, mine.run_id)

    report = await bring(there, (await archive(here, mine.run_id, other.run_id))[0])

    assert [(left.run, left.reason) for left in report.left] == [(mine.run_id, "HistoryConflict")]
    assert await picture(there, mine.run_id) == before
    assert report.runs == 1


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Outcome("Running"), id="it lives: it has a writer of its own"),
        pytest.param(Outcome("Cancelled", "Cancelled"), id="it stays where somebody stopped it"),
    ],
)
async def test_a_run_that_was_claimed_here_is_no_copy(here, there, outcome):
    """It is not gone on with, however much longer the file's history is."""
    writer = await history(here, "d")
    await bring(there, (await archive(here, writer.run_id))[0])
    fence = await there.claim(writer.run_id, (await there.run(writer.run_id)).epoch, new_id())
    await there.commit(writer.run_id, fence, 1, new_id(), [], outcome)
    await writer.commit()
    before = await picture(there, writer.run_id)

    report = await bring(there, (await archive(here, writer.run_id))[0])

    assert [left.reason for left in report.left] == ["HistoryConflict"]
    assert await picture(there, writer.run_id) == before


async def test_a_copy_that_shares_nothing_with_the_file_is_not_gone_on_with(here, there):
    """Both were pruned so far that nobody can tell whether they are of one history."""
    writer = await history(here, "SSSS")
    await bring(there, (await archive(here, writer.run_id))[0])
    await there.prune(writer.run_id, [1, 2, 3])
    await writer.commit(4, kind="snapshot")
    await here.prune(writer.run_id, [1, 2, 3, 4, 5])
    before = await picture(there, writer.run_id)

    report = await bring(there, (await archive(here, writer.run_id))[0])

    assert [left.reason for left in report.left] == ["HistoryConflict"]
    assert await picture(there, writer.run_id) == before


async def test_what_follows_a_copy_hangs_on_its_head(here, there):
    """The file cannot show what it has in the place of the head; what comes next tells that it is another."""
    writer = await history(here, "dd")
    await bring(there, (await archive(here, writer.run_id))[0])
    run = await there.run(writer.run_id)
    copy = Writer(there, writer.run_id, await there.claim(writer.run_id, run.epoch, new_id()), 2, writer.hash)
    await copy.commit(outcome=Outcome("Cancelled", "Imported"))
    await writer.commit(2)
    rows = here._place.ledgers[writer.run_id].rows
    rows[3] = rows[3]._replace(step="altered")
    before = await picture(there, writer.run_id)

    report = await bring(there, (await archive(here, writer.run_id))[0])

    assert "HistoryConflict" in [left.reason for left in report.left]
    assert await picture(there, writer.run_id) == before


async def test_a_copy_that_was_not_whole_arrives_as_a_copy(here, there):
    """A run that was half imported where it comes from: here all of the file has come."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)
    half = MemoryStore(parse_store_url("memory:"))
    await half.open()
    with pytest.raises(InvalidInput):
        await bring(half, lines[:-2])
    assert (await half.run(writer.run_id)).reason == IMPORTING

    await bring(there, (await archive(half, writer.run_id))[0])

    run = await there.run(writer.run_id)
    assert (run.phase, run.reason) == ("Cancelled", IMPORTED)


async def test_what_is_written_meanwhile_is_not_in_the_file(here):
    """The run is exported as its row was when it was read: its end says how far."""
    writer = await history(here, "ddd")
    exporter = Exporter(here, "0.1.0")
    lines = exporter.lines([writer.run_id])
    kept = [await anext(lines), await anext(lines)]
    await writer.commit(3)
    kept += [line async for line in lines]

    assert [next(iter(orjson.loads(line))) for line in kept[2:]] == ["checkpoint"] * 3 + ["end", "trailer"]
    assert exporter.report.left == []


async def test_an_end_of_another_run_ends_none(here, there):
    """Its pins and progress belong to whoever it names."""
    one, other = await history(here), await history(here)
    lines, _ = await archive(here, one.run_id)
    end = orjson.loads(lines[-2])
    end["end"]["run"] = other.run_id

    report = await bring(there, signed([*lines[:-2], orjson.dumps(end) + b"\n", lines[-1]]))

    assert [left.reason for left in report.left] == ["InvalidInput"]
    assert (await there.run(one.run_id)).reason == IMPORTING


async def test_what_follows_the_trailer_is_told(here, there):
    """Two exports that were written one behind the other are not one."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)

    with pytest.raises(InvalidInput, match="something follows"):
        await bring(there, [*lines, *lines])


async def test_a_deleted_run_is_not_revived(here, there):
    """Its tombstone stands."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)
    await bring(there, lines)
    await there.delete_run(writer.run_id)

    report = await bring(there, lines)

    assert [left.reason for left in report.left] == ["HistoryConflict"]
    assert await there.heads([writer.run_id]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "other"},
        {"parent": "ab" * 32},
        {"hash": "ab" * 32},
        {"digest": "ab" * 32},
        {"epoch": 7},
        {"createdAt": "2020-01-01T00:00:00Z"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_forged_header_is_refused(here, there, changes):
    """Whoever changes a field and the file's digest has not changed the chain."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)

    report = await bring(there, resealed(lines, 3, **changes))

    assert [left.run for left in report.left] == [writer.run_id]
    run = await there.run(writer.run_id)
    assert (run.phase, run.reason) == ("Cancelled", IMPORTING)


async def test_a_checkpoint_of_another_chain_is_refused(here, there):
    """Sealed well, and hung on nothing."""
    writer = await history(here, "dd")
    lines, _ = await archive(here, writer.run_id)
    (row,) = [row for row in await here.read(writer.run_id) if row.seq == 2]
    forged = sealed(row._replace(parent_hash="ab" * 32))

    report = await bring(there, resealed(lines, 3, parent=forged.parent_hash, hash=forged.hash))

    assert [left.reason for left in report.left] == ["HistoryConflict"]


async def test_a_payload_that_is_not_its_digests_is_left_behind(here, there):
    """The rest comes, and the report says what does not; a gap is not made of it."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)

    report = await bring(there, resealed(lines, 3, payload=b64encode(b"\x01\x00nonsense" * 3).decode()))

    assert [(left.reason, left.first, left.last) for left in report.left] == [("CheckpointCorrupted", 2, 2)]
    assert [row.seq for row in await there.read(writer.run_id)] == [1, 3, 4, 5]
    assert await there.gaps(writer.run_id) == []
    assert report.runs == 1


async def test_what_is_damaged_here_is_left_out_of_the_file(here, there):
    """A header that was altered; what stands around it is exported and imported."""
    writer = await history(here)
    rows = here._place.ledgers[writer.run_id].rows
    rows[2] = rows[2]._replace(step="altered")

    lines, report = await archive(here, writer.run_id)
    arrived = await bring(there, lines)

    assert [(left.reason, left.first) for left in report.left] == [("CheckpointCorrupted", 2)]
    assert [row.seq for row in await there.read(writer.run_id)] == [1, 3, 4, 5]
    assert [(left.reason, left.first) for left in arrived.left] == [("CheckpointCorrupted", 2)]


async def test_checkpoints_that_nobody_pruned_are_told(here, there):
    """A hole without a gap is loss, at the end too."""
    writer = await history(here, "SSSS")
    rows = here._place.ledgers[writer.run_id].rows
    del rows[2], rows[4]

    _, report = await archive(here, writer.run_id)

    assert [(left.reason, left.first, left.last) for left in report.left] == [
        ("Missing", 2, 2),
        ("Missing", 4, 4),
    ]


async def test_a_run_that_went_ends_only_itself(here, there):
    """It was deleted after it was listed."""
    writer = await history(here)

    lines, report = await archive(here, new_id(), writer.run_id)
    arrived = await bring(there, lines)

    assert [left.reason for left in report.left] == ["RunNotFound"]
    assert (arrived.runs, [left.reason for left in arrived.left]) == (1, ["RunNotFound"])


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("seq", 0, "seq"),
        ("seq", "1", "seq"),
        ("seq", 2**40, "seq"),
        ("id", "../../etc", "id"),
        ("id", "x" * 200, "id"),
        ("hash", "AB" * 32, "hash"),
        ("kind", "merge", "kind"),
        ("next", "ab", "next"),
        ("metadata", [], "metadata"),
        ("payload", "?", "payload"),
        ("createdAt", "yesterday", "createdAt"),
        ("createdAt", 5, "createdAt"),
        ("surprise", 1, "surprise"),
    ],
)
async def test_a_field_of_another_shape_ends_the_run_with_its_path(here, there, field, value, path):
    """Before anything is done with it; the other runs are imported."""
    writer, other = await history(here), await history(here)
    lines, _ = await archive(here, writer.run_id, other.run_id)

    report = await bring(there, resealed(lines, 3, **{field: value}))

    assert [left.run for left in report.left] == [writer.run_id]
    assert "line 4" in report.left[0].message
    assert path in report.left[0].message
    assert report.runs == 1


async def test_a_manifest_nested_without_end_is_refused(here, there):
    """What no store could write is not asked of one."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)
    run = orjson.loads(lines[1])
    run["run"]["manifest"] = {}
    deep = orjson.dumps(run).replace(b'"manifest":{}', b'"manifest":{"a":' + b"[" * 500 + b"]" * 500 + b"}")

    report = await bring(there, signed([lines[0], deep + b"\n", *lines[2:]]))

    assert report.runs == 0
    assert "manifest" in report.left[0].message
    assert await there.heads([writer.run_id]) == {}


@pytest.mark.parametrize("cut", [1, 2, -1])
async def test_a_file_without_its_trailer_was_cut_short(here, there, cut):
    """However much of it came."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)

    with pytest.raises(InvalidInput, match="cut short"):
        await bring(there, lines[:cut])


async def test_a_file_that_was_changed_is_told(here, there):
    """The digest in the trailer is of every byte before it."""
    writer = await history(here)
    lines, _ = await archive(here, writer.run_id)
    lines[1] = lines[1].replace(b'"traceId":""', b'"traceId":"1"')

    with pytest.raises(InvalidInput, match="SHA-256"):
        await bring(there, lines)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (b"", InvalidInput),
        (b"hello\n", InvalidInput),
        (b'{"run":{}}\n', InvalidInput),
        (
            b'{"header":{"cairn":"export","version":2,"release":"9","store":"","createdAt":"2026-01-01T00:00:00Z"}}\n',
            FormatUnknown,
        ),
    ],
    ids=["empty", "text", "another line", "a newer version"],
)
async def test_what_is_no_export_is_refused_at_once(there, first, error):
    """Before anything is written."""
    with pytest.raises(error):
        await bring(there, [first] if first else [])
    assert await there.runs() == []


async def test_a_copy_may_be_brought_into_another_place(here, there):
    """Its namespace and installation; what the operator would sweep it by does not come with it."""
    notes = {"installation": "blue", "deletionPolicy": "Delete", "held": True}
    writer = await history(here, "d", annotations=notes)

    await bring(there, (await archive(here, writer.run_id))[0], namespace="restored", installation="green")

    run = await there.run(writer.run_id)
    assert run.workflow == "restored/digest/6d3c1f0e" == run.thread
    assert run.annotations.keys() == {"installation", "imported"}
    assert run.annotations["installation"] == "green"


# -- files -------------------------------------------------------------------------------------------


def read(data):
    """The lines of some bytes."""
    return list(files._lines(io.BufferedReader(io.BytesIO(data))))


@pytest.mark.parametrize("size", [10, files._CHUNK - 1, files._CHUNK, files._CHUNK + 1, 3 * files._CHUNK])
def test_lines_are_cut_where_they_end(size):
    """Whatever piece of the stream they lie in; plain, compressed, and of several frames."""
    lines = [b"a\n", b"x" * size + b"\n", b"\n", b"z\n"]
    whole = b"".join(lines)
    frames = b"".join(zstandard.ZstdCompressor().compress(line) for line in lines)

    assert read(whole) == read(zstandard.ZstdCompressor().compress(whole)) == read(frames) == lines


def test_a_line_without_end_is_refused(monkeypatch):
    """A few kilobytes that unpack to more than memory holds: they are given up at the bound."""
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 4 * 1024**2)
    bomb = zstandard.ZstdCompressor().compress(b"x" * 64 * 1024**2)
    assert len(bomb) < 10_000

    with pytest.raises(InvalidInput, match="longer than"):
        read(bomb)


def test_damage_and_a_torn_end_are_told():
    """A flipped bit fails the frame's checksum; half a line is no line."""
    data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(b"line\n" * 1000))
    data[-1] ^= 1

    with pytest.raises(InvalidInput, match="damaged"):
        read(bytes(data))
    with pytest.raises(InvalidInput, match="cut short"):
        read(b"line\nhal")


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    """A dump that fails leaves neither itself nor a change of the one before."""
    path = tmp_path / "dump"
    path.write_bytes(b"before")

    with pytest.raises(ZeroDivisionError), files.written(str(path)) as stream:
        stream.write(b"half" * (1 // 0))

    assert path.read_bytes() == b"before"
    with files.written(str(path)) as stream:
        stream.write(b"whole\n")
    with files.opened(str(path)) as lines:
        assert list(lines) == [b"whole\n"]
    assert (path.stat().st_mode & 0o777, [file.name for file in tmp_path.iterdir()]) == (0o600, ["dump"])
