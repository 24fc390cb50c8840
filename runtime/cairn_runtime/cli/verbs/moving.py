"""Moving runs from one store into another, by a file."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import DebugOption, OptionalWho, OutputOption, StoreOption
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish


def export(
    who: OptionalWho = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every run of the store.", show_default=False)
    ] = False,
    file: Annotated[
        str,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Where to: a file, a folder, or - for standard output; default: a name with the date, here.",
            show_default=False,
        ),
    ] = "",
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            metavar="N",
            min=0,
            help="Remove older exports with the same name and another date, but for the newest N; 0: none.",
            show_default=False,
        ),
    ] = 0,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Write runs into a file; a Workflow's name means all its runs. Exit code 1 if any was left behind."""
    from cairn_runtime.cli import moving

    answer = Output(output)
    return finish(moving.export_runs(answer, store, who, file, everything=everything, keep=keep))


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What export wrote, or - for standard input.")],
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            help="Bring all runs into this namespace; default: each into its own.",
            show_default=False,
        ),
    ] = "",
    installation: Annotated[
        str,
        typer.Option(
            "--installation",
            metavar="NAME",
            help="Let the operator of this installation fork them; default: that of the export.",
            show_default=False,
        ),
    ] = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Bring runs from a file into a store. Unfinished ones arrive stopped: resume forks them."""
    from cairn_runtime.cli import moving
    from cairn_runtime.runner.archives.arrivals import Wishes

    return finish(moving.import_runs(Output(output), store, file, Wishes(namespace, installation)))


import_.__name__ = "import"  # the verb: Python keeps this word for itself
