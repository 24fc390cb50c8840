"""The steps of Cairn's benchmarks; LangGraph's nodes in `bench.langgraph_measures` do the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.measures import MOMENTS
from bench.texts import CHANNELS, TEXT_BYTES, TEXTS, large_texts, text

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


async def write(state: State, ctx: Context) -> dict[str, str]:
    """Write a large text over the one before, and down when this began and ended."""
    begin = time.perf_counter()
    texts = large_texts(int(str(state["kib"])))
    MOMENTS.append((begin, time.perf_counter()))
    return {"value": texts[ctx.visit % len(texts)]}
