"""Runs whose server loses replies, dies and comes back: nothing acknowledged is lost, nothing runs twice.

The runner is never told; all it has is its patience and commits that may be sent again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.crash.runner.conftest import SERVERS
from tests.crash.runner.flows import FLOWS, LONG, PARKS
from tests.crash.runner.processes import Runner, claimed, until
from tests.crash.runner.stories import Story

from cairn_runtime.errors import EXIT_DONE, EXIT_STORE_UNAVAILABLE
from cairn_runtime.runner.accepting import accept
from cairn_runtime.runner.library import run
from cairn_runtime.runner.starting import find_or_create
from cairn_runtime.store.opening import open_store

# Killed amid its sync, a Redis that syncs each second may lose what it acknowledged meanwhile.
SETTINGS = {"postgres": None, "redis": {"appendfsync": "always"}}


@pytest.fixture
def server(request, servers):
    """A server of the test's own, of the kind that its parameter names, which loses nothing by SIGKILL."""
    return getattr(servers, request.param)(settings=SETTINGS[request.param])


@pytest.fixture
def effects(tmp_path: Path, monkeypatch) -> Path:
    """The file in which tasks leave their traces."""
    monkeypatch.setenv("CAIRN_TEST_EFFECTS", str(tmp_path / "effects"))
    return tmp_path / "effects"


@pytest.mark.parametrize("server", SERVERS, indirect=True)
@pytest.mark.parametrize("name", FLOWS)
async def test_replies_lost_on_the_way_make_no_duplicate(server, servers, effects, tmp_path, name):
    """Commits are carried out unheard, their connections cut; each stands once, and no task runs again."""
    proxy = servers.proxy(server)
    store = await open_store(server.url)
    story = Story(FLOWS[name], proxy.url(server.url), store, tmp_path)
    row = await find_or_create(store, accept(story.flow.manifest))
    # A commit is the only request that names the graph.
    lost = [proxy.drop_reply(row.graph_hash.encode()) for _ in range(3)]

    finish = await story.tell(row)

    assert (finish.exit_code, finish.run.phase) == (EXIT_DONE, "Succeeded")
    assert all(one.happened for one in lost)
    assert story.crashes() == 0
    await story.check(finish.run)
    await store.close()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_run_outlives_its_server(server, effects, tmp_path):
    """Killed three times under a running Workflow and started again: the runner waits and goes on."""
    store = await open_store(server.url)
    story = Story(LONG, server.url, store, tmp_path)
    row = await find_or_create(store, accept(LONG.manifest))
    telling = asyncio.create_task(story.tell(row))
    for so_many in (5, 12, 20):
        await story.until_done(so_many)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)

    finish = await telling

    assert (finish.exit_code, finish.run.phase) == (EXIT_DONE, "Succeeded")
    assert story.crashes() == 0
    assert [task for task, _, _ in story.effects()] == [f"s{n}#1" for n in range(30)]
    await story.check(finish.run)
    await store.close()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_runner_gives_up_when_its_patience_is_over(server, effects, tmp_path):
    """Exit 69 and no word of failure in the row; the next start goes on from the newest checkpoint."""
    store = await open_store(server.url)
    story = Story(LONG, server.url, store, tmp_path)
    row = await find_or_create(store, accept(LONG.manifest))
    fence = await claimed(store, row)
    first = await Runner.start(
        server.url, row.run_id, fence, tmp_path, CAIRN_PATIENCE="1s", CAIRN_TEST_EPOCH="1"
    )
    await story.until_done(5)
    await asyncio.to_thread(server.kill)

    code = await first.ended()

    assert code == EXIT_STORE_UNAVAILABLE
    assert first.word["reason"] == "StoreUnavailable"
    await asyncio.to_thread(server.start)
    row = await until(store, row.run_id, lambda found: found.head_seq > 0)
    assert row.phase == "Running"
    finish = await story.tell(row)
    assert (finish.exit_code, finish.run.phase) == (EXIT_DONE, "Succeeded")
    await story.check(finish.run)
    await store.close()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_server_that_is_slow_to_come_up_is_waited_for(server, effects, tmp_path):
    """A runner that starts while its server is away waits for it within its patience."""
    store = await open_store(server.url)
    row = await find_or_create(store, accept(PARKS.manifest))
    fence = await claimed(store, row)
    await asyncio.to_thread(server.kill)
    runner = await Runner.start(server.url, row.run_id, fence, tmp_path, CAIRN_TEST_EPOCH="1")
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)

    code = await runner.ended()

    assert code == EXIT_DONE
    assert (await until(store, row.run_id, lambda found: found.head_seq > 0)).phase == "Waiting"
    await store.close()


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_program_outlives_its_server_too(server, effects, tmp_path):
    """A run inside a program waits as a runner does."""
    store = await open_store(server.url)
    running = asyncio.create_task(run(LONG.manifest, store=store))
    await Story(LONG, server.url, store, tmp_path).until_done(5)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)

    result = await running

    assert result.phase == "Succeeded"
    assert len(effects.read_text().splitlines()) == 30
    await store.close()
