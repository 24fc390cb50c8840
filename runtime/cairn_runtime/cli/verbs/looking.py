"""Looking at what is there: runs, checkpoints, states, and what happens now. Nothing here changes a store."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import (
    CHECKPOINT_HELP,
    DebugOption,
    OnlyWorkflow,
    OptionalWho,
    OutputOption,
    StoreOption,
    WhoArgument,
)
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish

LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        metavar="N",
        min=0,
        help="At most so many; 0: all.  [default: 50 in a table, else all]",
        show_default=False,
    ),
]


def runs(
    workflow: OnlyWorkflow = "",
    thread: Annotated[
        str,
        typer.Option("--thread", metavar="NAME", help="Only the runs of this thread.", show_default=False),
    ] = "",
    limit: LimitOption = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """List runs, newest first."""
    from cairn_runtime.cli import histories

    return finish(histories.list_runs(Output(output), store, workflow, limit, thread))


def checkpoints(
    who: OptionalWho = "",
    limit: LimitOption = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """List a run's checkpoints, newest first. Without a name those of all runs."""
    from cairn_runtime.cli import histories

    return finish(histories.list_checkpoints(Output(output), store, who, limit))


def show(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help=CHECKPOINT_HELP)],
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show one checkpoint, and every event in it."""
    from cairn_runtime.cli import histories

    return finish(histories.show_checkpoint(Output(output), store, checkpoint))


def state(
    who: WhoArgument,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="CHECKPOINT",
            help="At this checkpoint: an id, a seq, head or start; default: the newest.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show a run's state, channel by channel."""
    from cairn_runtime.cli import histories

    return finish(histories.show_state(Output(output), store, who, at))


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=CHECKPOINT_HELP)],
    b: Annotated[
        str, typer.Argument(metavar="B", help="The same; in the run of A also a seq, head or start.")
    ],
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show what changed in the state from A to B. With -o json as a JSON patch (RFC 6902)."""
    from cairn_runtime.cli import histories

    return finish(histories.show_difference(Output(output), store, a, b))


def watch(
    who: WhoArgument,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="SEQ|head",
            help="Begin after this checkpoint; default: at the run's beginning.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Follow a run until it is finished. A line for each checkpoint and each change of phase."""
    from cairn_runtime.cli import watching

    return finish(watching.follow(Output(output), store, who, since))
