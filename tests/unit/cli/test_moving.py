"""`cairn export` and `cairn import`: what is typed, where it goes, what is said."""

from __future__ import annotations

import fcntl

import pytest
from tests.unit.cli.builders import waiting_run
from tests.unit.cli.test_proving import SEQ, spoil


def test_all_runs_go_into_a_file_with_the_date_and_come_back(cairn, url, write, tmp_path):
    """The name tells what and when; unfinished runs arrive stopped."""
    run = write(waiting_run)

    said = cairn("export", "--all", "--store", url, "-o", "json").document
    arrived = cairn("import", said["file"], "--store", f"file://{tmp_path}/other", "-o", "json")

    assert said["file"].startswith("cairn-sqlite-20")
    assert (said["runs"], said["left"]) == (1, [])
    assert (arrived.code, arrived.document["runs"], arrived.document["left"]) == (0, 1, [])
    (row,) = cairn("runs", "--store", f"file://{tmp_path}/other", "-o", "json").document
    assert (row["run"], row["phase"], row["reason"]) == (run.run_id, "Cancelled", "Imported")
    assert cairn("verify", "--store", f"file://{tmp_path}/other").code == 0


def test_one_run_is_named_and_its_file_after_it(cairn, url, write, tmp_path):
    """A folder gets a file with a date in its name."""
    run = write(waiting_run)
    (tmp_path / "dumps").mkdir()

    said = cairn("export", run.run_id, "-f", "dumps", "--store", url)

    (made,) = (tmp_path / "dumps").iterdir()
    assert said.code == 0
    assert run.run_id[-8:] in made.name
    assert str(made.name) in said.out


def test_older_files_of_the_same_name_go(cairn, url, write, tmp_path):
    """So many stay, and what else lies there."""
    write(waiting_run)
    others = [f"cairn-sqlite-2026-01-0{day}T030000Z.cairn.zst" for day in range(1, 5)]
    for name in [*others, "cairn-postgres-2020-01-01T030000Z.cairn.zst", "notes"]:
        (tmp_path / name).write_bytes(b"")

    cairn("export", "--all", "--keep", "2", "-f", f"{tmp_path}/", "--store", url)

    left = sorted(path.name for path in tmp_path.glob("cairn-*.zst"))
    assert left[0] == "cairn-postgres-2020-01-01T030000Z.cairn.zst"
    assert len(left) == 3
    assert others[3] in left
    assert (tmp_path / "notes").exists()


def test_so_many_files_need_a_folder(cairn, url, waiting, tmp_path, monkeypatch):
    """Where the folder was not there, each night's export took the place of the one before."""
    monkeypatch.chdir(tmp_path)

    said = cairn("export", "--all", "--keep", "2", "-f", "backup", "--store", url)

    assert said.code == 2
    assert said.err == "error: --keep: keeps files with a date in their names; backup is no folder\n"
    assert not (tmp_path / "backup").exists()


OLDER = [f"cairn-sqlite-2026-01-0{day}T030000Z.cairn.zst" for day in range(1, 4)]


def test_no_older_file_goes_for_one_that_lacks_something(cairn, url, write, tmp_path):
    """Night after night a damaged store would push out every dump that was whole."""
    write(waiting_run)
    for name in OLDER:
        (tmp_path / name).write_bytes(b"")
    spoil(url, f"DELETE FROM checkpoints WHERE {SEQ} = 2")

    said = cairn("export", "--all", "--keep", "1", "-f", f"{tmp_path}/", "--store", url)

    assert (said.code, "left behind: 1" in said.out) == (1, True)
    assert {*OLDER} < {path.name for path in tmp_path.glob("cairn-*.zst")}


def test_no_older_file_goes_for_an_empty_one(cairn, url, write, tmp_path):
    """A database that was lost and made anew is dumped too."""
    write(lambda store: store.check())
    for name in OLDER:
        (tmp_path / name).write_bytes(b"")

    said = cairn("export", "--all", "--keep", "1", "-f", f"{tmp_path}/", "--store", url)

    assert said.code == 0
    assert {*OLDER} < {path.name for path in tmp_path.glob("cairn-*.zst")}


def test_what_an_export_left_that_was_killed_goes(cairn, url, write, tmp_path):
    """A volume for dumps would fill up with them; one that is under way holds a lock and stays."""
    write(waiting_run)
    dead, alive = (tmp_path / f".cairn-sqlite-2026.cairn.zst.{pid}.part" for pid in (1, 2))
    dead.write_bytes(b"torn")
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        cairn("export", "--all", "--keep", "1", "-f", f"{tmp_path}/", "--store", url)

    assert list(tmp_path.glob(".*.part")) == [alive]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("export",), "--all"),
        (("export", "digest", "--all"), "--all"),
        (("import", "nothing"), "No such file"),
        (("export", "--all", "-f", "no/such/folder/x"), "No such file"),
    ],
)
def test_what_cannot_be_is_told_before_it_is_tried(cairn, url, write, args, told):
    """Usage errors, exit code 2."""
    write(waiting_run)

    said = cairn(*args, "--store", url)

    assert said.code == 2
    assert told in said.err


def test_a_file_that_was_cut_short_is_a_failure_that_says_so(cairn, url, write, tmp_path):
    """What came of it stays; the exit code is 1."""
    write(waiting_run)
    name = cairn("export", "--all", "--store", url, "-o", "json").document["file"]
    whole = (tmp_path / name).read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])

    said = cairn("import", "half", "--store", f"file://{tmp_path}/other")

    assert said.code == 1
    assert "cut short" in said.out
