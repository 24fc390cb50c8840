"""What of a Postgres server is not as a store needs it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cairn_runtime.store.base import Concern


def concerns(settings: Sequence[Any], missing: Iterable[tuple[str, str]]) -> tuple[Concern, ...]:
    """Judge the settings of the statement of that name, and the rights that the role lacks."""
    fsync, full_pages, forgetful, encrypted, local = settings
    found: list[Concern] = []
    if fsync == "off":
        text = "fsync is off: a crash of the server's machine loses acknowledged checkpoints, or the database"
        found.append(Concern(True, text, "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();"))
    if full_pages == "off":
        text = "full_page_writes is off: a crash of the server's machine can damage pages for good"
        found.append(Concern(True, text, "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();"))
    if forgetful:
        text = "a role or database has synchronous_commit=off; Cairn sets it on for its own connections"
        found.append(Concern(False, text, "ALTER ROLE ... RESET synchronous_commit;"))
    if not encrypted and not local:
        text = "the connection is not encrypted, and leaves this machine"
        found.append(Concern(False, text, "add ?sslmode=verify-full to the URL"))
    rights: dict[str, list[str]] = {}
    for table, right in missing:
        rights.setdefault(table, []).append(right)
    found += [
        Concern(
            True,
            f"the role may not {', '.join(names)} on {table}",
            f"GRANT {', '.join(names)} ON {table} TO ...;",
        )
        for table, names in rights.items()
    ]
    return tuple(found)
