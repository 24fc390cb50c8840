"""The Redis store: one server, a master behind Sentinel, or a cluster.

Every change of a run is one Lua script on the run's own keys, which carry one hash tag and so lie in one
slot:
fence, head, row, signals and checkpoints move together or not at all, on a cluster too.
What lies elsewhere, the index of all runs, is a hint: it is written before a row is made, never trusted
without reading the row, and put together again where it was lost.

    addresses    a URL, taken apart            nodes        which server has a key
    keys         the names of a run's keys     scripts      the Lua files
    replies      the protocol, pure            records      rows as fields and back, pure
    wires        one connection                faults       what their errors mean here
    inspections  what a server must be like    runs         the row of a run, and writing it
    indexes      all runs; what changed        retention    pins, holds, prunes, deletion
    rights       what its user may do
"""

from __future__ import annotations

from cairn_runtime.store.redis.store import RedisStore

__all__ = ["RedisStore"]
