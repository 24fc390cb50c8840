"""Running, going back, stopping: the verbs that make runs and change them."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import (
    AsStepOption,
    DebugOption,
    InputOption,
    OutputOption,
    PatchOption,
    SetOption,
    SkipOption,
    StepsOption,
    StoreOption,
    WhoArgument,
)
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish

InProcessOption = Annotated[
    bool,
    typer.Option(
        "--in-process", help="Run the steps in this process, with no runner beside it.", show_default=False
    ),
]
KillOption = Annotated[
    str,
    typer.Option(
        "--kill-at",
        metavar="TASK",
        help="Kill the runner in the middle of this step or task, once, to see it go on.",
        show_default=False,
    ),
]


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Workflow file.")],
    input_: InputOption = None,
    set_: SetOption = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start another run although one is unfinished.", show_default=False)
    ] = False,
    thread: Annotated[
        str | None,
        typer.Option(
            "--thread",
            metavar="NAME",
            help="The thread to go on with, such as a user; default: the Workflow's label, else its own.",
            show_default=False,
        ),
    ] = None,
    in_process: InProcessOption = False,
    kill_at: KillOption = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Run a Workflow, or go on with its unfinished run."""
    from cairn_runtime.cli import runs, wishes

    how = wishes.Wishes(store, new, in_process, kill_at, debug, input_, tuple(set_ or ()), thread)
    return runs.run_file(Output(output), file, how)


def resume(
    workflow: WhoArgument,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="CHECKPOINT|head",
            help="Where to go on: an id or part of it, a seq, head or start.",
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="A mended Workflow file to go on with.", show_default=False
        ),
    ] = None,
    patch: PatchOption = None,
    as_step: AsStepOption = "",
    steps: StepsOption = None,
    skip: SkipOption = None,
    in_process: InProcessOption = False,
    kill_at: KillOption = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Fork a new run from any checkpoint, and run it. The old history stays as it is."""
    from cairn_runtime.cli import runs, wishes

    fork = wishes.ForkWishes(from_, file, patch, as_step, tuple(steps or ()), tuple(skip or ()))
    how = wishes.Wishes(store, in_process=in_process, kill_at=kill_at, debug=debug)
    return runs.resume_run(Output(output), workflow, how, fork)


def cancel(
    who: WhoArgument,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """End a run for good. Its runner stops, its history stays."""
    from cairn_runtime.cli import runs

    return finish(runs.cancel(Output(output), store, who))
