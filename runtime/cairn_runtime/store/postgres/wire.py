"""One connection: a statement goes out, its rows or an error come back.

It stands on psycopg's libpq layer (`psycopg.pq`), below its cursors: the statements are known beforehand and
say the types of their values, and what a cursor does for each call (search types, convert, keep a cache) is
a third of a commit.

A connection is used by one caller at a time, on any event loop.
Whenever a call ends otherwise than with the server's answer (no answer in time, the caller cancelled, the
network gone), the connection is closed at once: it never comes back in the middle of something.
Nothing is repeated here.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.adapt import Transformer
from psycopg.types.string import ByteaBinaryLoader

from cairn_runtime.store.owned import never
from cairn_runtime.store.postgres.faults import Lost, Refused
from cairn_runtime.store.postgres.statements import Statement
from cairn_runtime.store.postgres.values import MomentLoader, Value, encode_all

_OK = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_IDLE = pq.TransactionStatus.IDLE
_OPEN = frozenset({pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR})
_BINARY = pq.Format.BINARY
_PREPARED = 2
"""The use of a statement by which it is prepared, and from which it is."""
_STANDBY = "25006"
_HELD_UP_MILLIS = 5
"""How long the loop is held up at most: the word to drain, a poke and the supervisor wait behind it."""


class Wire:
    """An open connection in autocommit."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        statements: Mapping[str, Statement],
        *,
        pooled: bool,
        timeout_seconds: float,
        alone: Callable[[], bool] = never,
    ) -> None:
        self._connection = connection
        self._pq = connection.pgconn
        self._socket = self._pq.socket
        self._statements = statements
        self._pooled = pooled
        self._alone = alone
        self.patience_seconds = timeout_seconds
        """How long the server may say nothing before the connection counts as lost."""
        self._uses: dict[str, int] = {}
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLPRI)
        connection.adapters.register_loader("timestamptz", MomentLoader)
        # JSON comes as the bytes it is.
        connection.adapters.register_loader("json", ByteaBinaryLoader)

    def close(self) -> None:
        """Close the connection, whatever it does."""
        self._pq.finish()

    def is_idle(self) -> bool:
        """Whether it may be used for something new."""
        return self._pq.transaction_status == _IDLE

    def in_transaction(self) -> bool:
        """Whether a transaction is open, sound or failed, that can be rolled back."""
        return self._pq.transaction_status in _OPEN

    def is_alive(self) -> bool:
        """Whether an idle connection may be used: nothing was said on it meanwhile.

        A server that ends a connection says so, or closes it; either can be read. It costs a microsecond, and
        saves whoever comes first after a restart an error.
        """
        if self._poll.poll(0):
            try:
                self._pq.consume_input()
            except psycopg.Error:
                return False
            # A notice may have come, or a parameter's new value; behind a farewell there is the end to read.
            return not self._poll.poll(0) and self.is_idle()
        return self.is_idle()

    async def fetch(self, name: str, /, **values: Value) -> list[tuple[Any, ...]]:
        """Carry out a named statement and read its rows.

        Raises:
            Refused: the server says no.
            Lost: nobody knows.
        """
        result = await self._execute(name, values)
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
        if self._statements[name].guarded:
            return _read_on_primary(rows)
        return rows

    async def change(self, name: str, values: dict[str, Value]) -> int:
        """Carry out a named statement and tell how many rows it changed. Raises like `fetch`."""
        return (await self._execute(name, values)).command_tuples or 0

    async def script(self, sql: str) -> None:
        """Carry out statements without values. Raises like `fetch`."""
        await self._ask(lambda: self._pq.send_query(sql.encode()))

    async def _execute(self, name: str, values: dict[str, Value]) -> pq.abc.PGresult:
        statement = self._statements[name]
        params = encode_all(statement.values, values)
        if self._pooled or (self._uses.get(name, 0) < _PREPARED and not await self._prepare(name, statement)):
            return await self._ask(
                lambda: self._pq.send_query_params(
                    statement.sql, params, param_formats=statement.formats, result_format=_BINARY
                )
            )
        return await self._ask(
            lambda: self._pq.send_query_prepared(statement.prepared_name, params, statement.formats, _BINARY)
        )

    async def _prepare(self, name: str, statement: Statement) -> bool:
        """Prepare a statement when it is used again; used once it is not worth a round trip of its own."""
        uses = self._uses.get(name, 0) + 1
        if uses == _PREPARED:
            await self._ask(lambda: self._pq.send_prepare(statement.prepared_name, statement.sql))
        self._uses[name] = uses
        return uses == _PREPARED

    async def _ask(self, send: Callable[[], None]) -> pq.abc.PGresult:
        """Send, and wait for the answer."""
        try:
            send()
            result = await self._answer()
        except psycopg.Error as error:
            self.close()
            raise Lost(_words(error)) from None
        except BaseException:
            self.close()
            raise
        if result.status not in _OK:
            raise _refused(result)
        return result

    async def _answer(self) -> pq.abc.PGresult:
        """Wait until all is sent and all has come; answer the last result, or the first that is an error."""
        conn = self._pq
        while conn.flush():
            await self._ready(writing=True)
            conn.consume_input()
        last: pq.abc.PGresult | None = None
        while True:
            while conn.is_busy():
                await self._ready()
                conn.consume_input()
            result = conn.get_result()
            if result is None:
                break
            if last is None or last.status in _OK:
                last = result
        if last is None:
            raise psycopg.OperationalError("the server gave no answer")
        return last

    async def _ready(self, *, writing: bool = False) -> None:
        """Wait for the socket; each sign of life gives the server its time anew.

        Where nothing else needs the loop, a moment on the socket itself spares two turns of it.
        """
        if not writing and self._alone() and self._poll.poll(_HELD_UP_MILLIS):
            return
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(self.patience_seconds, _settle, ready)
        loop.add_reader(self._socket, _settle, ready)
        if writing:
            loop.add_writer(self._socket, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._socket)
            if writing:
                loop.remove_writer(self._socket)
            silent = timer.when() <= loop.time()
            timer.cancel()
        if silent and not self._poll.poll(0):
            raise psycopg.OperationalError(f"no answer within {self.patience_seconds:g} s")


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _read_on_primary(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Take off what `statements` added; behind a pooler every statement may meet another server."""
    if rows[0][0]:
        raise Refused(_STANDBY, "this server is a standby")
    return [row[2:] for row in rows if row[1]]


def _refused(result: pq.abc.PGresult) -> Refused | Lost:
    field = pq.DiagnosticField
    state = (result.error_field(field.SQLSTATE) or b"").decode()
    message = (result.error_field(field.MESSAGE_PRIMARY) or result.error_message or b"").decode(
        "utf-8", "replace"
    )
    if not state:
        # libpq's own words: the connection broke while the answer was on its way.
        return Lost(message.strip())
    return Refused(state, message)


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
