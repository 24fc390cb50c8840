"""The Postgres store: one server, many writers, for clusters.

Durable means: in the server's write-ahead log and synced before a commit returns (`synchronous_commit`).
A commit is one statement and one round trip; the fence and the head are checked by the statement that writes.

    addresses    a URL -> where to connect, and under which names
    statements   the SQL of `sql/postgres`, with the names of this place
    wire         one connection: a statement goes out, rows come back
    pool         the connections of a store
    sessions     from a name and values to rows, in a transaction or without
    migrating    the schema
    faults       what Postgres says -> our errors, once
    rows         columns <-> ours, pure
    retention    pins, holds, prunes, deletion
    store        the Store

Nothing is written to a standby, and no head is read from one.
The driver is used here only.
"""

from __future__ import annotations

from cairn_runtime.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
