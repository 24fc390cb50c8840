"""The audit, for people and for programs: who asked for what, and whether the chain is whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from cairn_runtime.cli.outputs import Output
from cairn_runtime.cli.stores import existing_store
from cairn_runtime.cli.views.texts import Column, table
from cairn_runtime.cli.views.units import counted, moment
from cairn_runtime.errors import EXIT_DONE, EXIT_FAILED
from cairn_runtime.model.ids import short_id, to_wire
from cairn_runtime.model.values import JSONObject, JSONValue
from cairn_runtime.store.audits import verify_entries
from cairn_runtime.store.base import Entry, Store

_PAGE = 1000
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_COLUMNS = (
    *(Column("NO"), Column("WHEN"), Column("WHO"), Column("WHAT")),
    *(Column("FROM", shrinks=True), Column("TO", shrinks=True)),
)


async def show(output: Output, url: str | None, limit: int | None, *, verify: bool) -> int:
    """List lines, the newest first; with `verify` prove the chain, exit code 1 if it is broken."""
    async with existing_store(url) as store:
        entries = [entry async for entry in _everything(store)]
    faults = list(verify_entries(entries)) if verify else []
    shown = entries[::-1]
    if limit is None and output.for_people:
        limit = 50
    if limit:
        shown = shown[:limit]
    if output.for_people:
        _tell(output, shown, entries, faults, verify=verify)
    else:
        lines: list[JSONValue] = [_shape(entry) for entry in shown]
        verdict: JSONObject = {"sound": not faults, "faults": list[JSONValue](faults)} if verify else {}
        output.document({"lines": lines, **verdict})
    return EXIT_FAILED if faults else EXIT_DONE


async def _everything(store: Store) -> AsyncIterator[Entry]:
    after = 0
    while page := await store.audits(after=after, limit=_PAGE):
        for entry in page:
            yield entry
        after = page[-1].number


def _tell(
    output: Output, shown: list[Entry], entries: list[Entry], faults: list[str], *, verify: bool
) -> None:
    if not entries:
        output.note("nobody has asked for anything yet")
        return
    cells = [
        (
            str(entry.number),
            moment(entry.at, output.now),
            entry.who,
            entry.what,
            _short(entry.source),
            _short(entry.target),
        )
        for entry in shown
    ]
    output.text(table(_COLUMNS, cells, output.width))
    if verify:
        verdict = faults or [f"sound; the last hash is {entries[-1].hash}"]
        output.text(["", f"{counted(len(entries), 'line')}: {'; '.join(verdict)}"])


def _short(what: str) -> str:
    """What a line names, for people: ids by their ends, as everywhere."""
    return _ID.sub(lambda match: short_id(match[0]), what)


def _shape(entry: Entry) -> JSONObject:
    return {
        "number": entry.number,
        "id": entry.id,
        "at": to_wire(entry.at),
        "who": entry.who,
        "what": entry.what,
        "from": entry.source,
        "to": entry.target,
        "parent": entry.parent_hash,
        "hash": entry.hash,
    }
