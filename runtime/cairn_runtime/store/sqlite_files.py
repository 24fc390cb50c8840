"""A SQLite file as a store: where it may stand, how it is opened, its schema, and what its errors mean.

WAL with `synchronous=FULL`: a commit is one fsync of the log, and readers never hold up the writer.
A file that belongs to another program is recognised by its application id and left alone; a schema of a newer
release is refused; an older one is brought forward in one transaction, whoever comes first.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cairn_runtime.errors import CairnError, StoreTooNew, StoreUnavailable, StoreUnusable
from cairn_runtime.store.places import make_folder, refuse_network, refused
from cairn_runtime.store.queries import Migration, migrations, queries

APPLICATION_ID = 0x43414952
"""`CAIR`: what `file(1)` and we recognise a store by."""
SCHEMA_VERSION = migrations("sqlite")[-1].number
_OLDEST_SQLITE = (3, 32, 0)

_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    # After a large commit the log goes back to a size that a disk does not feel.
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-8192",
    "PRAGMA temp_store=MEMORY",
    # A damaged page is an error where it is met, not wrong rows.
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
)
_ROOM = "make room, then go on: nothing that was acknowledged is lost"
_RIGHTS = "the store needs a file and a folder that this user may write to"
_MEANINGS: dict[int, tuple[type[StoreUnavailable | StoreUnusable], str]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "another process is writing to it and does not finish"),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "another process is writing to it and does not finish"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, _ROOM),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "the disk did not do what it was asked"),
    sqlite3.SQLITE_PROTOCOL: (StoreUnavailable, "too many processes at once"),
    sqlite3.SQLITE_INTERRUPT: (StoreUnavailable, "the call was interrupted"),
    sqlite3.SQLITE_NOMEM: (StoreUnavailable, "out of memory"),
    sqlite3.SQLITE_NOTADB: (StoreUnusable, "it is not a Cairn store, or its beginning was overwritten"),
    sqlite3.SQLITE_CORRUPT: (
        StoreUnusable,
        "damaged: put back a copy, or save its rows with sqlite3 .recover",
    ),
    sqlite3.SQLITE_READONLY: (StoreUnusable, _RIGHTS),
    sqlite3.SQLITE_CANTOPEN: (StoreUnusable, _RIGHTS),
    sqlite3.SQLITE_PERM: (StoreUnusable, _RIGHTS),
}


class SQLiteFile:
    """An open file and its named statements; for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = queries("sqlite")
        self._opened: sqlite3.Connection | None = None
        self._whole_path = path
        """From the root: a step may change the folder that others are named from."""
        self._place = (0, 0)
        """Device and inode of the file that is open."""

    def open(self, *, timeout_seconds: float) -> None:
        """See `open_file`."""
        self._opened = open_file(self._path, timeout_seconds=timeout_seconds)
        self._whole_path = self._path.absolute()
        self._place = self._found()

    def close(self) -> None:
        """Close the file; again: nothing."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        if self._opened is None:
            raise StoreUnusable(f"{self._path} is not open")
        return self._opened

    def version(self) -> int:
        """Version of the schema."""
        return _version(self.connection)

    def execute(self, name: str, values: dict[str, Any]) -> sqlite3.Cursor:
        """Carry out a named statement."""
        return self.connection.execute(self._sql[name], values)

    def many(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carry out a named statement for each row."""
        self.connection.executemany(self._sql[name], rows)

    def one(self, name: str, **values: object) -> tuple[Any, ...]:
        """Read the row that is always there. Raises `StoreUnusable` where it is not."""
        rows = self.all(name, values)
        if not rows:
            raise StoreUnusable(f"{self._path}: {_MEANINGS[sqlite3.SQLITE_CORRUPT][1]}")
        return rows[0]

    def maybe(self, name: str, **values: object) -> tuple[Any, ...] | None:
        """Read a row, or None."""
        rows = self.all(name, values)
        return rows[0] if rows else None

    def all(self, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Read rows; text that is damaged beyond UTF-8 comes out with marks in it and fails no call."""
        try:
            return self.execute(name, values).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            return self.execute(name, values).fetchall()
        finally:
            self.connection.text_factory = str

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction that writes: it waits its turn before it reads anything.

        Raises:
            StoreUnusable: the file is not the one of this name any more, and takes what is written with it.
        """
        if self._found() != self._place:
            raise StoreUnusable(
                f"{self._path} was removed or replaced while it was in use; nothing was written"
            )
        yield from self._transaction("BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[None]:
        """One view for several statements."""
        yield from self._transaction("BEGIN")

    def _found(self) -> tuple[int, int]:
        """Which file has the store's name now."""
        try:
            found = self._whole_path.stat()
        except FileNotFoundError:
            return (0, 0)
        return found.st_dev, found.st_ino

    def _transaction(self, begin: str) -> Iterator[None]:
        db = self.connection
        db.execute(begin)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def open_file(path: Path, *, timeout_seconds: float) -> sqlite3.Connection:
    """Open a store's file and bring its schema forward; make it, with its folders, if it is not there.

    Raises:
        StoreUnusable: not a place or not a file for a store.
        StoreTooNew: the schema of a newer release.
        sqlite3.Error, OSError: what `fault` translates.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnusable(f"SQLite {sqlite3.sqlite_version} is too old; this release needs 3.32 or newer")
    refuse_network(path)
    make_folder(path.parent)
    _make_private(path)
    if path.is_dir():
        raise StoreUnusable(f"{path} is a folder; name a file in it")
    # One thread at a time uses it, not always the same: `store.threads` sees to that.
    db = sqlite3.connect(
        path,
        timeout=timeout_seconds,
        isolation_level=None,
        cached_statements=128,
        check_same_thread=False,
    )
    try:
        _refuse_foreign(db, path)
        _use_wal(db, path, timeout_seconds)
        for pragma in _PRAGMAS:
            db.execute(pragma)
        migrate(db, path, migrations("sqlite"))
    except BaseException:
        db.close()
        raise
    return db


def migrate(db: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> int:
    """Apply the steps that the file does not have, in one transaction; answer its version.

    Several processes may do this at once: the transaction that begins first does it, the others find it done.

    Raises:
        StoreTooNew: the file is ahead of the steps.
    """
    newest = steps[-1].number
    version = _version(db)
    if version > newest:
        raise StoreTooNew(
            f"{path} has schema version {version}, written by a newer release; this one knows up to {newest}"
        )
    if version == newest:
        return version
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            if step.number > _version(db):
                for statement in statements(step.sql):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={step.number}")
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return _version(db)


def statements(script: str) -> list[str]:
    """Split a script: `executescript` would commit the transaction around it."""
    found: list[str] = []
    rest = ""
    for line in script.splitlines(keepends=True):
        rest += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(rest):
            found.append(rest.strip())
            rest = ""
    return found


def fault(error: Exception, path: Path) -> CairnError | None:
    """Translate what SQLite or the system says; None if the mistake is ours."""
    if isinstance(error, OSError):
        return refused(error, path)
    if isinstance(error, UnicodeDecodeError):
        # The driver stumbles over its own message when that quotes a damaged name.
        return StoreUnusable(f"{path}: {_MEANINGS[sqlite3.SQLITE_CORRUPT][1]}")
    if not isinstance(error, sqlite3.Error):
        return None
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kind, meaning = _MEANINGS.get(code, (StoreUnusable, "SQLite refused"))
    return kind(f"{path}: {error}; {meaning}")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _make_private(path: Path) -> None:
    """Make the file with mode 0600; SQLite gives its log the same.

    Only where there is none: to close any other descriptor of a SQLite file drops this process's locks on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise StoreUnusable(f"{path}: this user may not read and write it") from None
    except OSError as error:
        raise refused(error, path) from error


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Leave files of other programs alone; an empty one is ours to fill."""
    # In this order: between the two another process may make tables and leave its mark, which come together.
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and (tables or application):
        raise StoreUnusable(f"{path} is a SQLite database of another program, not a Cairn store")


def _use_wal(db: sqlite3.Connection, path: Path, timeout_seconds: float) -> None:
    """Switch the file to WAL, for good.

    The switch needs the file alone and does not always wait for it, so that the first processes of a new file
    may have to try again.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            busy = (error.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > end:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise StoreUnusable(f"{path}: this file system does not support SQLite's WAL (mode {mode})")
        return
