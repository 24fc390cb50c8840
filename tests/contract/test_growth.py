"""A loop of ten thousand steps on real stores: what lies there stays within what its policy promises."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.runner.test_tidying import begun, loop_of

from cairn_runtime.model.ids import utc_now
from cairn_runtime.store.opening import store_for
from cairn_runtime.store.retention import Entry, Policy, Walk, entry_of

STEPS, KEPT = 10_000, 10
EVERY = 50


def promised(entries: list[Entry]) -> int:
    """Bytes that the rule alone keeps of a history, however much of it was pruned before."""
    walk = Walk(Policy(KEPT, 1e9), utc_now())
    return sum(entry.size for entry in reversed(entries) if not walk.goes(entry))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_long_loop_stays_within_a_tenth_of_what_its_policy_promises(url_of, kind):
    """Looked at every fifty commits. The most that ever lay there is compared with the most that may."""
    store: Any = store_for(url_of(kind))
    await store.open()
    spec = {"checkpoint": {"history": {"keepLast": KEPT}}}
    run_id, attempt = await begun(store, loop_of(STEPS, **spec))
    written: list[Entry] = []
    there, may = [], []
    commit = store.commit

    async def watched(*args: Any) -> None:
        await commit(*args)
        written.extend(entry_of(row) for row in args[4])
        if len(written) % EVERY == 0:
            there.append(sum(row.size for row in await store.checkpoints(run_id, limit=100_000)))
        # A stretch of a hundred steps is longer than any between two snapshots here.
        may.append(promised(written[-100:]))

    store.commit = watched
    await attempt.run()

    left = [entry_of(row) for row in await store.checkpoints(run_id, limit=100_000)]
    assert len(written) == STEPS + 1
    assert max(there) <= 1.1 * max(may)
    assert sum(entry.size for entry in left) == promised(written[-100:])
    await store.close()
