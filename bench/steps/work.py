"""The steps of Cairn's benchmarks; LangGraph's nodes in `bench.langgraph_measures` do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.texts import CHANNELS, TEXT_BYTES, TEXTS, text

if TYPE_CHECKING:
    from cairn_runtime.engine.context import Context, State


async def rewrite(state: State, ctx: Context) -> dict[str, str]:
    """Read one channel of 1 KiB, write another text to it."""
    n = int(ctx.step[1:])
    channel = f"c{n % CHANNELS}"
    assert len(str(state[channel])) == TEXT_BYTES
    return {channel: TEXTS[n % len(TEXTS)]}


async def one(_state: State) -> dict[str, int]:
    """Add one to the sum."""
    return {"total": 1}


async def double(_state: State, ctx: Context) -> object:
    """An item's result."""
    return ctx.item * 2


async def append(_state: State, ctx: Context) -> dict[str, str]:
    """Append a text that was not there before."""
    return {"log": text(ctx.visit)}
