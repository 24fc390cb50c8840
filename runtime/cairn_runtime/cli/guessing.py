"""Names for the shell: `cairn state <TAB>` offers the Workflows of a store in a file on this machine.

A server is not asked: a key that is pressed to save typing must neither wait nor make a schema. What cannot
be found out is left out, and the shell offers files instead.
"""

from __future__ import annotations

import typer


def workflow_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names that begin with what was typed, those with the newest runs first."""
    import asyncio

    from cairn_runtime.cli.stores import is_local, store_url
    from cairn_runtime.errors import CairnError

    try:
        url = store_url(ctx.params.get("store"))
        names = asyncio.run(_names(url)) if is_local(url) else []
    except CairnError:
        return []
    return [name for name in names if name.startswith(incomplete)]


async def _names(url: str) -> list[str]:
    from cairn_runtime.cli.finding import workflow_names as names_in
    from cairn_runtime.cli.stores import existing_store

    async with existing_store(url) as store:
        return await names_in(store)
