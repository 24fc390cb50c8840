"""From a statement's name and values to rows: outside a transaction, or several in one.

Here connections are made as this store needs them (a primary, its settings), and here the errors of driver
and server become ours.
A call that may have reached the server and got no answer is `StoreUnavailable` and is never repeated here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from cairn_runtime.errors import StoreUnavailable, StoreUnusable
from cairn_runtime.store.owned import never
from cairn_runtime.store.postgres.addresses import Address
from cairn_runtime.store.postgres.faults import Lost, Refused, connect_fault, fault
from cairn_runtime.store.postgres.pool import Pool
from cairn_runtime.store.postgres.statements import statements
from cairn_runtime.store.postgres.values import Value
from cairn_runtime.store.postgres.wire import Wire

log = logging.getLogger("cairn.postgres")

OLDEST_SERVER = 140000
PATIENT_SECONDS = 600.0
"""What care of the schema or of many rows may take."""


class Sessions:
    """The store's way to its server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.durable = ""
        """What an acknowledged commit is on this server, as the newest connection found it."""
        self._statements = statements(address.naming, on_primary=address.pooled)
        self._pool = Pool(self._connect, address.pool, address.safe)
        self._warned: set[str] = set()
        self.alone: Callable[[], bool] = never

    def open(self) -> None:
        """Begin to make connections."""
        self._pool.open()

    def close(self) -> None:
        """Close the connections; again: nothing."""
        self._pool.close()

    async def fetch(self, name: str, /, **values: Value) -> list[tuple[Any, ...]]:
        """Carry out one statement and read its rows. Raises what `faults` says."""
        wire = await self._pool.take()
        try:
            return await wire.fetch(name, **values)
        except (Refused, Lost) as error:
            raise fault(error, self.address.safe) from None
        finally:
            self._pool.give(wire)

    async def change(self, name: str, values: dict[str, Value]) -> int:
        """Carry out one statement and tell how many rows it changed.

        Raises:
            Refused: the server says no; the caller may know why.
            StoreUnavailable: no answer.
        """
        wire = await self._pool.take()
        try:
            return await wire.change(name, values)
        except Lost as error:
            raise fault(error, self.address.safe) from None
        finally:
            self._pool.give(wire)

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """A connection for several statements, each by itself."""
        wire = await self._pool.take()
        try:
            yield wire
        except (Refused, Lost) as error:
            raise fault(error, self.address.safe) from None
        finally:
            self._pool.give(wire)

    @asynccontextmanager
    async def transaction(self, *, patient: bool = False, synced: bool = True) -> AsyncIterator[Wire]:
        """Several statements, all or none; each sees what was committed before it began.

        What is not `synced` may be undone, as a whole, by a server that crashes within the next second.

        A process that stands still amid one is cut off by the server, so that nobody waits for its locks.
        """
        wire = await self._pool.take()
        try:
            wire.patience_seconds = PATIENT_SECONDS if patient else self.address.timeout_seconds
            millis = _server_millis(wire.patience_seconds)
            await wire.script(
                f"BEGIN; SET LOCAL statement_timeout = {millis}; "
                f"SET LOCAL idle_in_transaction_session_timeout = {millis}"
                f"{'' if synced else '; SET LOCAL synchronous_commit = off'}"
            )
            yield wire
            await wire.script("COMMIT")
        except (Refused, Lost) as error:
            raise fault(error, self.address.safe) from None
        finally:
            try:
                await _leave(wire)
            finally:
                wire.patience_seconds = self.address.timeout_seconds
                self._pool.give(wire)

    async def _connect(self) -> Wire:
        """Make a connection to a primary, with the settings under which commits are durable.

        Raises:
            StoreUnavailable: there is no primary now.
            StoreUnusable: there never will be one that this store can use.
        """
        place = self.address.safe
        try:
            connection = await AsyncConnection.connect(
                **self.address.options,  # type: ignore[arg-type]
                autocommit=True,
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            raise connect_fault(str(error), place) from None
        except OSError as error:
            raise StoreUnavailable(f"{place}: {error.strerror or type(error).__name__}") from None
        wire = Wire(
            connection,
            self._statements,
            pooled=self.address.pooled,
            timeout_seconds=self.address.timeout_seconds,
            alone=self._is_alone,
        )
        try:
            await self._settle_in(wire)
        except (Refused, Lost) as error:
            wire.close()
            raise fault(error, place) from None
        except BaseException:
            wire.close()
            raise
        return wire

    def _is_alone(self) -> bool:
        """Ask whoever was named last, also on a connection that was made before."""
        return self.alone()

    async def _settle_in(self, wire: Wire) -> None:
        place = self.address.safe
        ((standby, version, encoding, fsync, durability, read_only),) = await wire.fetch("greet")
        if int(version) < OLDEST_SERVER:
            raise StoreUnusable(
                f"{place}: Postgres {int(version) // 10000} is too old; 14 or newer is needed"
            )
        if encoding != "UTF8":
            raise StoreUnusable(f"{place}: the database has the encoding {encoding}; create one with UTF8")
        if standby or read_only == "on":
            raise StoreUnavailable(
                f"{place}: this server is a standby or read-only; the store needs the primary"
            )
        if durability == "off" and self.address.pooled:
            raise StoreUnusable(
                f"{place}: synchronous_commit is off, and behind a pooler a store cannot set it; "
                "ALTER ROLE ... SET synchronous_commit = on"
            )
        if durability == "off":
            self._warn("synchronous_commit is off on this server; Cairn sets it on for its own connections")
            durability = "on"
        self._judge_disk(fsync, durability)
        if not self.address.pooled:
            millis = str(_server_millis(self.address.timeout_seconds))
            await wire.fetch("settle_in", durability=durability, statement_timeout=millis)

    def _judge_disk(self, fsync: str, durability: str) -> None:
        self.durable = durable_words(fsync, durability)
        if fsync == "off":
            self._warn("fsync is off on this server: a crash of its machine loses acknowledged checkpoints")

    def _warn(self, words: str) -> None:
        """Say it once for each store, not for each connection."""
        if words not in self._warned:
            self._warned.add(words)
            log.warning(words, extra={"store": self.address.safe})


def durable_words(fsync: str, durability: str) -> str:
    """Say what "durable" means on a server with these settings, in one sentence."""
    if fsync == "off":
        return "written by the server, but NOT synced: fsync is off, and a crash of its machine loses it"
    return f"in the server's write-ahead log and synced (synchronous_commit={durability}), at each commit"


def _server_millis(seconds: float) -> int:
    """A little less than we wait ourselves: the server's own words are better than silence."""
    return max(1, round(seconds * 900))


async def _leave(wire: Wire) -> None:
    """End a transaction that is still open; a connection that cannot is closed."""
    if not wire.in_transaction():
        return
    try:
        await wire.script("ROLLBACK")
    except (Refused, Lost):
        wire.close()
