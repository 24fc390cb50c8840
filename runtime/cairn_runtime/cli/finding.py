"""From what was typed to a run or a checkpoint, with a word about what may have been meant.

`runner.naming` finds; here a name that fits nothing is compared with those that are there.
"""

from __future__ import annotations

from difflib import get_close_matches

from cairn_runtime.errors import InvalidInput, RunNotFound
from cairn_runtime.runner.naming import all_runs, find_checkpoint, find_run, workflow_name
from cairn_runtime.store.base import Checkpoint, Run, Store

_LOOKED_AT = 1000
"""So many of the newest runs are looked through for a name that may have been meant."""


async def the_run(store: Store, text: str) -> Run:
    """Find the run that is meant: a Workflow's newest, or the one with this id or part of an id.

    Raises:
        RunNotFound: none; with the nearest name.
        InvalidInput: several, or the address of a store.
    """
    refuse_url(text)
    try:
        return await find_run(store, text)
    except RunNotFound as error:
        names = await workflow_names(store)
        raise RunNotFound(text, _with_guess(error.message, text, names)) from None


async def the_runs(store: Store, text: str) -> list[Run]:
    """Find what is meant, newest first: all runs of a Workflow, or thread, that is named, else the one run.

    Raises:
        RunNotFound: none; with the nearest name.
        InvalidInput: several Workflows, or runs.
    """
    run = await the_run(store, text)
    namespace, _, rest = run.workflow.partition("/")
    name = rest.rpartition("/")[0]
    named, _, thread = text.partition("@")
    if named not in (name, f"{namespace}/{name}"):
        return [run]
    return [one async for one in all_runs(store, run.workflow, thread)]


async def the_checkpoint(store: Store, text: str, run: Run | None = None) -> Checkpoint:
    """Find the checkpoint that is meant, as a header; `run` is the one at hand.

    Raises:
        CheckpointNotFound, RunNotFound: none.
        InvalidInput: several, or the address of a store.
    """
    refuse_url(text)
    before, slash, last = text.rpartition("/")
    if slash:
        return await find_checkpoint(store, last, await the_run(store, before))
    return await find_checkpoint(store, text, run)


def refuse_url(text: str) -> None:
    """Refuse the address of a store where a run is named; it is not repeated, a password may stand in it.

    Raises:
        InvalidInput: it is one.
    """
    if "://" in text:
        raise InvalidInput("the address of a store is given by --store URL, or in CAIRN_STORE_URL")


async def workflow_names(store: Store) -> list[str]:
    """Names of the Workflows that the store has runs of, those with the newest first."""
    names: dict[str, None] = {}
    count = 0
    async for run in all_runs(store):
        names[workflow_name(run)] = None
        count += 1
        if count >= _LOOKED_AT:
            break
    return list(names)


def _with_guess(message: str, text: str, names: list[str]) -> str:
    problem, _, what_to_do = message.partition("; ")
    close = get_close_matches(text, names, n=1)
    if close:
        return f'{problem}; did you mean "{close[0]}"?'
    there = f"; there is {', '.join(names[:5])}" if names else ""
    return f"{problem}{there or '; ' + what_to_do}"
