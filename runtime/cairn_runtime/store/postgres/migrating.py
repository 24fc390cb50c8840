"""The schema of a place: which version it has, and how it comes to this release's.

Migrations go forward only, each in one transaction with all others that are due, under a lock: of several
processes that start at once one does it and the others find it done.
They *expand*: tables and columns are added, so that runners of earlier releases go on beside them.
One that takes something away says in its first line which version a program must know, `-- needs: 4`; opening
a store never applies it, `Store.migrate` does, and programs that do not know that version are refused from
then on.
Whether it may be applied now is for its own SQL to check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from cairn_runtime.errors import StoreTooNew, StoreUnusable
from cairn_runtime.store.postgres.faults import Refused
from cairn_runtime.store.postgres.sessions import Sessions
from cairn_runtime.store.postgres.wire import Wire
from cairn_runtime.store.queries import Migration

_NEEDS = re.compile(r"\A-- needs: (\d+)\n")
_NO_RIGHTS = "42501"
LOCK_SECONDS = 10
"""How long a migration waits for a table, with every writer behind it, before it gives up for now."""


async def migrate(sessions: Sessions, steps: Sequence[Migration], *, contract: bool = False) -> int:
    """Apply the steps that the place lacks and answer its version; with `contract` also those that take away.

    Raises:
        StoreTooNew: the place needs a newer release.
        StoreUnusable: steps are due, and this role may not apply them.
    """
    newest = steps[-1].number
    version = await _version(sessions, newest)
    if not _due(steps, version, contract=contract):
        return version
    async with sessions.transaction(patient=True) as wire:
        try:
            return await _apply(sessions, wire, steps, contract=contract)
        except Refused as error:
            if error.sqlstate != _NO_RIGHTS:
                raise
            raise StoreUnusable(
                f"{sessions.address.safe}: {error}; the schema has version {version}, this release needs "
                f"{newest}, and this role may not change it; run once, as a role that may: "
                "cairn runs --store URL"
            ) from None


async def _apply(sessions: Sessions, wire: Wire, steps: Sequence[Migration], *, contract: bool) -> int:
    """Under the lock, look again and do what is due."""
    naming = sessions.address.naming
    await wire.fetch("lock_schema", place=naming.table("meta"))
    await wire.script(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    if not (await wire.fetch("namespace_there", schema=naming.schema))[0][0]:
        await wire.script(f'CREATE SCHEMA "{naming.schema}"')
    version, needs = await _stand(sessions, wire)
    for step in _due(steps, version, contract=contract):
        await wire.script(naming.put_in(step.sql))
        version, needs = step.number, max(needs, needs_of(step))
        await wire.change("set_meta", {"name": "version", "value": str(version)})
        await wire.change("set_meta", {"name": "needs", "value": str(needs)})
    return version


def needs_of(step: Migration) -> int:
    """The version that programs must know once the step was applied; 0 where it only expands."""
    match = _NEEDS.match(step.sql)
    return int(match[1]) if match else 0


def _due(steps: Sequence[Migration], version: int, *, contract: bool) -> list[Migration]:
    """The steps to be applied; without `contract` up to the first that takes something away."""
    missing = [step for step in steps if step.number > version]
    # On an empty place nobody loses anything.
    if contract or version == 0:
        return missing
    return list(takewhile(lambda step: not needs_of(step), missing))


async def _version(sessions: Sessions, newest: int) -> int:
    """Version of the place, 0 where there is none. Raises `StoreTooNew`."""
    async with sessions.wire() as wire:
        version, needs = await _stand(sessions, wire)
    if needs > newest:
        raise StoreTooNew(
            f"{sessions.address.safe} has schema version {version}, changed by a newer release for programs "
            f"that know version {needs}; this one knows up to {newest}"
        )
    return version


async def _stand(sessions: Sessions, wire: Wire) -> tuple[int, int]:
    """The version of the place and the one that programs must know."""
    table = sessions.address.naming.table("meta")
    if not (await wire.fetch("schema_there", table=table))[0][0]:
        return 0, 0
    meta = dict(await wire.fetch("meta"))
    try:
        return int(meta["version"]), int(meta["needs"])
    except (KeyError, ValueError):
        raise StoreUnusable(
            f"{sessions.address.safe}: {table} is not a Cairn store's; choose another ?schema= or ?prefix="
        ) from None
