"""What a store keeps: how much there is, what goes by policy, what stays by hand, what goes for good."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.guessing import workflow_names
from cairn_runtime.cli.options import CHECKPOINT_HELP, DebugOption, OnlyWorkflow, OutputOption, StoreOption
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish

_ALL_RUNS = "A Workflow's name (all its runs), NAME@THREAD, or a run's id or part of it"
AllRunsArgument = Annotated[
    str, typer.Argument(metavar="WORKFLOW|RUN", help=f"{_ALL_RUNS}.", autocompletion=workflow_names)
]
AnyRunsArgument = Annotated[
    str,
    typer.Argument(
        metavar="[WORKFLOW|RUN]",
        help=f"{_ALL_RUNS}; default: everything.",
        show_default=False,
        autocompletion=workflow_names,
    ),
]
CheckpointArgument = Annotated[str, typer.Argument(metavar="CHECKPOINT", help=CHECKPOINT_HELP)]


def stats(
    workflow: OnlyWorkflow = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Say how much there is: runs, checkpoints, bytes, the largest runs, and how the store is."""
    from cairn_runtime.cli import figures

    return finish(figures.show_figures(Output(output), store, workflow))


def prune(
    who: AnyRunsArgument = "",
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last",
            metavar="N",
            min=1,
            max=100_000,
            help="Ended steps that keep their checkpoint; default: as each run's Workflow says.",
            show_default=False,
        ),
    ] = None,
    max_age: Annotated[
        str,
        typer.Option(
            "--max-age",
            metavar="DURATION",
            help="Age from which a checkpoint goes, such as 7d; default: as each run's Workflow says.",
            show_default=False,
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go.", show_default=False)
    ] = False,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Remove checkpoints that history.keepLast and history.maxAge let go. What is needed stays."""
    from cairn_runtime.cli import keeping

    wish = keeping.wish(keep_last, max_age, dry_run=dry_run)
    return finish(keeping.prune(Output(output), store, who, wish))


def pin(
    checkpoint: CheckpointArgument,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Keep a checkpoint, and what it is folded from, whatever the policy says."""
    from cairn_runtime.cli import keeping

    return finish(keeping.pin(Output(output), store, checkpoint, pinned=True))


def unpin(
    checkpoint: CheckpointArgument,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Let a pinned checkpoint go when its time comes."""
    from cairn_runtime.cli import keeping

    return finish(keeping.pin(Output(output), store, checkpoint, pinned=False))


def release(
    who: AllRunsArgument,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Remove all checkpoints of finished runs but the last, and hand that back with its state."""
    from cairn_runtime.cli import keeping

    return finish(keeping.release(Output(output), store, who))


def delete(
    who: AllRunsArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)] = False,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Remove runs from the store, for good. Asks on a terminal.

    On a cluster the operator does this when a Workflow goes whose deletionPolicy is Delete.
    """
    from cairn_runtime.cli import keeping

    return keeping.delete(Output(output), store, who, yes=yes)
