"""Answering what a run waits for. An answer is stored at once; the run uses it when it goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from cairn_runtime.cli.options import DebugOption, OutputOption, StoreOption, WhoArgument
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish

StepOption = Annotated[
    str,
    typer.Option(
        "--step",
        metavar="STEP",
        help="The step that waits; may be left out where only one does.",
        show_default=False,
    ),
]
ValueOption = Annotated[
    str | None,
    typer.Option(
        "--value",
        metavar="JSON",
        help="A value to give with the answer; @FILE reads a file.",
        show_default=False,
    ),
]


def approve(
    who: WhoArgument,
    step: StepOption = "",
    value: ValueOption = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Say yes to an approval that a run waits for."""
    from cairn_runtime.cli import answers

    return finish(answers.answer(Output(output), store, who, step, approved=True, value=value))


def reject(
    who: WhoArgument,
    step: StepOption = "",
    value: ValueOption = None,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Say no to an approval that a run waits for."""
    from cairn_runtime.cli import answers

    return finish(answers.answer(Output(output), store, who, step, approved=False, value=value))


def signal(
    who: WhoArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
    value: Annotated[
        str, typer.Argument(metavar="[JSON]", help="Its value; @FILE reads a file.", show_default=False)
    ] = "null",
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Send a named signal to a run. It is kept until a step waits for it."""
    from cairn_runtime.cli import answers

    return finish(answers.send_signal(Output(output), store, who, name, value))
