"""Checking and drawing: of a manifest before it runs, of a history after it ran."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import DebugOption, OptionalWho, OutputOption, StoreOption
from cairn_runtime.cli.outputs import Drawing, Format, Output
from cairn_runtime.cli.verbs.finishing import finish


def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Workflow files; - reads standard input.")
    ],
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Check Workflow files before they run. Every fault with its path, and what may go wrong as warnings."""
    from cairn_runtime.cli import manifests

    return manifests.validate_files(Output(output), files)


def graph(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Workflow file.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Show how far this run came: a run's id, part of it, or a name.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    output: Annotated[
        Drawing,
        typer.Option(
            "--output", "-o", metavar="text|mermaid|svg|json|yaml", help="How to draw.", show_default=False
        ),
    ] = Drawing.TEXT,
    debug: DebugOption = False,
) -> int:
    """Draw a Workflow's graph. With --run how each step stands in that run."""
    from cairn_runtime.cli import drawing

    return drawing.draw(output, file, run, store)


def verify(
    who: OptionalWho = "",
    expect: Annotated[
        str,
        typer.Option(
            "--expect",
            metavar="[SEQ:]HASH",
            help="A hash that the run's history must hold: what verify printed once, noted elsewhere.",
            show_default=False,
        ),
    ] = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Prove that histories are what was written. Chain, digests, folding; exit code 1 where one is not."""
    from cairn_runtime.cli import expecting, proofs

    expected = expecting.expectation(expect) if expect else None
    return finish(proofs.verify(Output(output), store, who, expected))
