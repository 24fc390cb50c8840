"""Looking after a store: what is wrong with it, and who asked for what."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import DebugOption, OptionalWho, OutputOption, StoreOption
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish
from cairn_runtime.cli.verbs.looking import LimitOption


def audit(
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Prove that no line was changed or taken out.", show_default=False),
    ] = False,
    limit: LimitOption = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Show who asked for what, newest first. Resumes, cancels, answers, pins, prunes, deletions, imports."""
    from cairn_runtime.cli import audits

    return finish(audits.show(Output(output), store, limit, verify=verify))


def doctor(
    who: OptionalWho = "",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Say what is wrong with the store, or with a run, and what mends it. Exit code 1 if anything is."""
    from cairn_runtime.cli import doctoring

    return finish(doctoring.visit(Output(output), store, who))
