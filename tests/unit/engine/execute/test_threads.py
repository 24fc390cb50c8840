from __future__ import annotations

import asyncio
import contextvars
import threading

from cairn_runtime.engine.execute.threads import Threads

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def test_what_a_function_returns_or_raises_comes_back() -> None:
    """As a pair: StopIteration or SystemExit in a future would break the event loop."""
    threads = Threads(2)
    errors = [StopIteration(1), SystemExit(3), KeyboardInterrupt(), ValueError("x")]

    def fail() -> None:
        raise errors[0]

    outcomes = [await threads.run(lambda: 7)]
    for _ in range(4):
        outcomes.append(await threads.run(fail))
        del errors[0]
    threads.close()

    assert outcomes[0] == (7, None)
    assert [type(error) for _, error in outcomes[1:]] == [
        StopIteration,
        SystemExit,
        KeyboardInterrupt,
        ValueError,
    ]


async def test_context_variables_are_carried_over_and_not_back() -> None:
    """A tracing library finds its span; a step cannot change the engine's."""
    threads = Threads(1)
    VARIABLE.set("from the task")

    def change() -> str:
        before = VARIABLE.get()
        VARIABLE.set("from the thread")
        return before

    result = await threads.run(change)
    threads.close()

    assert (result[0], VARIABLE.get()) == ("from the task", "from the task")


async def test_as_many_run_at_once_as_there_are_threads() -> None:
    """64 sync items of a foreach wait for each other if they must."""
    threads = Threads(64)
    barrier = threading.Barrier(64)

    outcomes = await asyncio.gather(*(threads.run(barrier.wait) for _ in range(64)))
    threads.close()

    assert {error for _, error in outcomes} == {None}


async def test_more_than_the_limit_wait_for_their_turn() -> None:
    """The number of threads is bounded."""
    threads = Threads(3)
    names: set[str] = set()

    await asyncio.gather(
        *(threads.run(lambda: names.add(threading.current_thread().name)) for _ in range(50))
    )
    threads.close()

    assert 1 <= len(names) <= 3


async def test_a_thread_that_is_free_is_used_again() -> None:
    """A chain of sync steps needs one."""
    threads = Threads(64)

    for _ in range(20):
        await threads.run(lambda: None)

    assert threads._started == 1
    threads.close()


async def test_a_caller_that_is_cancelled_does_not_wait_for_the_thread() -> None:
    """A drained runner must be able to leave; its thread is a daemon."""
    threads = Threads(1)
    started, go_on = threading.Event(), threading.Event()

    def hold() -> bool:
        started.set()
        go_on.wait()
        return threading.current_thread().daemon

    task = asyncio.create_task(threads.run(hold))
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    cancelled, _ = await asyncio.wait([task])
    go_on.set()
    daemon = await threads.run(lambda: threading.current_thread().daemon)
    threads.close()

    assert [t.cancelled() for t in cancelled] == [True]
    assert daemon == (True, None)
