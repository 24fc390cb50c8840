"""The options that several verbs share, each declared once."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

import typer

from cairn_runtime.cli.guessing import workflow_names
from cairn_runtime.cli.outputs import Format

StoreOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The store; default: CAIRN_STORE_URL, else sqlite:///.cairn/cairn.db.",
        show_default=False,
    ),
]
OutputOption: TypeAlias = Annotated[
    Format,
    typer.Option("--output", "-o", help="How to answer.", metavar="table|json|yaml", show_default=False),
]
DebugOption: TypeAlias = Annotated[
    bool, typer.Option("--debug", help="Show where an error comes from, and the log.", show_default=False)
]
_WHO_HELP = "A Workflow's name (its newest run), NAME@THREAD, or a run's id or part of it."
WhoArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="WORKFLOW|RUN",
        help=_WHO_HELP,
        autocompletion=workflow_names,
    ),
]
OptionalWho: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="[WORKFLOW|RUN]",
        help=_WHO_HELP,
        autocompletion=workflow_names,
        show_default=False,
    ),
]
OnlyWorkflow: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="[WORKFLOW]",
        help="Only the runs of this Workflow.",
        show_default=False,
        autocompletion=workflow_names,
    ),
]
InputOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="JSON|@FILE",
        help="A JSON object that is laid over spec.input.",
        show_default=False,
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        help="Set one input; a.b=1 goes deeper, a value that is no JSON is text.",
        show_default=False,
    ),
]
PatchOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--patch",
        metavar="JSON",
        help="A JSON object of channels to set; @FILE reads a file.",
        show_default=False,
    ),
]
AsStepOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--as-step",
        metavar="STEP",
        help="The patch counts as written by this step, which counts as done.",
        show_default=False,
    ),
]
StepsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--steps",
        metavar="STEP,...",
        help="Start at these steps instead of where the run was.",
        show_default=False,
    ),
]
SkipOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="STEP,...", help="These steps count as done once.", show_default=False),
]
CHECKPOINT_HELP = "An id, its last 8 characters, or RUN/SEQ such as digest/7."


ContextOption: TypeAlias = Annotated[
    str,
    typer.Option("--context", metavar="NAME", help="kubectl's context.", show_default=False),
]
NamespaceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="The namespace; default: kubectl's.",
        show_default=False,
    ),
]
KubeconfigOption: TypeAlias = Annotated[
    str,
    typer.Option("--kubeconfig", metavar="FILE", help="kubectl's file.", show_default=False),
]


def called_by_kubectl() -> bool:
    """Whether it is `kubectl cairn` that was typed: kubectl starts its plugins under this name."""
    return sys.argv[0].endswith("kubectl-cairn")
