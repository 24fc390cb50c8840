"""Which verbs there are, in the order in which a person meets them, and what the help shows.

There are two sets. `cairn` is for runs in a store, `kubectl cairn` for Workflows on a cluster; both are this
program. A verb that only one set has is found under both names. Where both have it (resume, cancel,
checkpoints, watch, ...) the name decides, or what was typed: `--store` means the store, `--context`,
`--namespace`, `--kubeconfig` or `--nonce` the cluster.

Typer parses; what it raises and what our own rooms raise meet in `__main__`.
Its panels are left aside: plain help starts in half the time and reads the same in a pager.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

import typer
from typer.core import TyperGroup

from cairn_runtime.cli.options import DebugOption, called_by_kubectl
from cairn_runtime.cli.verbs import (
    answering,
    caring,
    checking,
    clustering,
    keeping,
    looking,
    moving,
    running,
    tending,
)
from cairn_runtime.errors import Fault, InvalidInput

UsageError: Any = typer.BadParameter.__bases__[0]
"""What the parser raises; it has no public name, but a public child."""

Sections: TypeAlias = dict[str, tuple[tuple[Callable[..., int], str], ...]]

SECTIONS: Sections = {
    "Run": (
        (running.run, "cairn run digest.yaml --set tone=dry"),
        (running.resume, 'cairn resume digest --from digest/4 --patch \'{"tone": "warm"}\''),
        (running.cancel, "cairn cancel digest"),
    ),
    "Answer": (
        (answering.approve, "cairn approve digest --step sign --value '{\"copies\": 2}'"),
        (answering.reject, "cairn reject digest --step sign"),
        (answering.signal, "cairn signal digest paid '{\"amount\": 12}'"),
    ),
    "Look": (
        (looking.runs, "cairn runs"),
        (looking.checkpoints, "cairn checkpoints digest"),
        (looking.show, "cairn show digest/7"),
        (looking.state, "cairn state digest --at 7 -o json"),
        (looking.diff, "cairn diff digest/4 head"),
        (looking.watch, "cairn watch digest"),
    ),
    "Check": (
        (checking.validate, "cairn validate digest.yaml"),
        (checking.graph, "cairn graph digest.yaml -o svg > digest.svg"),
        (checking.verify, "cairn verify digest"),
    ),
    "Care": (
        (keeping.stats, "cairn stats"),
        (keeping.prune, "cairn prune digest --keep-last 3 --dry-run"),
        (keeping.pin, "cairn pin digest/4"),
        (keeping.unpin, "cairn unpin digest/4"),
        (keeping.release, "cairn release digest"),
        (keeping.delete, "cairn delete digest"),
        (tending.doctor, "cairn doctor"),
        (tending.audit, "cairn audit --verify"),
        (moving.export, "cairn export --all"),
        (moving.import_, "cairn import cairn-sqlite-2026-11-29T030000Z.cairn.zst"),
        (caring.store, "cairn store check"),
    ),
}
"""The verbs by what they are for, each with an example that works as it stands."""

CLUSTER_SECTIONS: Sections = {
    "Run": (
        (clustering.submit, "kubectl cairn submit digest.yaml --set tone=dry --watch"),
        (clustering.resume, "kubectl cairn resume digest"),
        (clustering.fork, 'kubectl cairn fork digest --from 4 --patch \'{"tone": "warm"}\''),
        (clustering.pause, "kubectl cairn pause digest"),
        (clustering.unpause, "kubectl cairn unpause digest"),
        (clustering.cancel, "kubectl cairn cancel digest"),
    ),
    "Look": (
        (clustering.get, "kubectl cairn get digest"),
        (clustering.watch, "kubectl cairn watch digest"),
        (clustering.tree, "kubectl cairn tree digest"),
        (clustering.logs, "kubectl cairn logs digest -f"),
        (clustering.checkpoints, "kubectl cairn checkpoints digest"),
        (clustering.pin, "kubectl cairn pin digest/7"),
        (clustering.unpin, "kubectl cairn unpin digest/7"),
    ),
    "Check": (
        (clustering.doctor, "kubectl cairn doctor"),
        (checking.validate, "kubectl cairn validate digest.yaml"),
        (checking.graph, "kubectl cairn graph digest.yaml"),
    ),
}
"""The same for a cluster; what needs none is the same verb."""

_EPILOG = (
    "A first run: cairn run FILE; then cairn checkpoints, cairn state NAME, cairn graph FILE."
    " On a cluster: kubectl cairn --help."
)
_CLUSTER_EPILOG = (
    "A first run: kubectl cairn submit FILE --watch. What only the store knows (approve, state, diff, ...) is"
    " asked with its address: cairn --help."
)
_ON_A_CLUSTER = ("--context", "--namespace", "--kubeconfig", "--nonce")
_OF_VERBS = ("-o", "--output", "--store")
_NO_STORE_NEEDED = ("validate", "graph")


class _Sections(TyperGroup):
    """A group whose help lists the verbs by what they are for."""

    sections: ClassVar[Sections] = SECTIONS

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - the parser's own types are private
        """Write a section for each group of verbs."""
        for title, verbs in self.sections.items():
            names = [verb.__name__ for verb, _ in verbs if verb.__name__ in self.commands]
            if not names:
                continue
            with formatter.section(title):
                # Whole sentences, on two lines where they need them: cut off they say half of it.
                formatter.write_dl([(name, self.commands[name].get_short_help_str(1000)) for name in names])

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the parser's own types are private
        """Name the verbs, for completion."""
        return list(self.commands)


class _ClusterSections(_Sections):
    sections: ClassVar[Sections] = CLUSTER_SECTIONS


def build_app(only: str = "", sections: Sections = SECTIONS) -> typer.Typer:
    """Make the command line; with `only` this one verb, since each takes its time to build."""
    on_cluster = sections is CLUSTER_SECTIONS
    app = typer.Typer(
        name="cairn",
        cls=_ClusterSections if on_cluster else _Sections,
        help="Workflows on a cluster, through your own kubectl."
        if on_cluster
        else "Run Workflows as graphs of steps that survive the death of their process.",
        epilog=_CLUSTER_EPILOG if on_cluster else _EPILOG,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(_alone)
    for verbs in sections.values():
        for verb, example in verbs:
            if only in ("", verb.__name__):
                app.command(name=verb.__name__, epilog=f"Example: {example}")(verb)
    return app


def parse_and_call(args: Sequence[str], *, debug: bool) -> int:
    """Parse the arguments, call the verb, and answer its exit code.

    Raises:
        UsageError: the arguments are wrong.
    """
    if debug:
        _show_log()
    sections = sections_of(args)
    if sections is SECTIONS and called_by_kubectl():
        _require_address(args)
    code = typer.main.get_command(build_app(_only_verb(args, sections), sections)).main(
        list(args), prog_name=_program(), standalone_mode=False
    )
    return code if isinstance(code, int) else 0


def sections_of(args: Sequence[str]) -> Sections:
    """Which verbs are meant: those of a store, or those of a cluster."""
    verb = args[0] if args else ""
    local, cluster = verb in _verbs(SECTIONS), verb in _verbs(CLUSTER_SECTIONS)
    if local != cluster:
        return SECTIONS if local else CLUSTER_SECTIONS
    typed = {arg.partition("=")[0] for arg in args}
    if local and "--store" in typed:
        return SECTIONS
    # `-n` is `--limit` where a store's verb lists something.
    short = verb == "resume" and any(arg.startswith("-n") for arg in args[1:])
    if called_by_kubectl() or (local and (short or typed.intersection(_ON_A_CLUSTER))):
        return CLUSTER_SECTIONS
    return SECTIONS


def _verbs(sections: Sections) -> set[str]:
    return {verb.__name__ for verbs in sections.values() for verb, _ in verbs}


def _require_address(args: Sequence[str]) -> None:
    """Refuse a verb that asks the store where nothing says which; the default is a file on this machine.

    Raises:
        InvalidInput: that is so.
    """
    told = os.environ.get("CAIRN_STORE_URL") or any(arg.partition("=")[0] == "--store" for arg in args)
    asks_for_help = any(arg in ("-h", "--help") for arg in args)
    if args and not told and not asks_for_help and args[0] not in _NO_STORE_NEEDED:
        text = (
            f'"{args[0]}" asks the store itself: give its address, or set CAIRN_STORE_URL; a runner has it'
            " from the Secret cairn-store-default of its namespace"
        )
        raise InvalidInput([Fault("--store", text)])


def _only_verb(args: Sequence[str], sections: Sections) -> str:
    """The verb that is called, where that is certain: the first argument; else everything is needed."""
    known = args and args[0] in _verbs(sections) and "_CAIRN_COMPLETE" not in os.environ
    return args[0] if known else ""


def usage_fault(error: Any) -> Fault:  # noqa: ANN401 - the parser's own types are private
    """A usage error as a fault: which option or argument, as it is typed, and what is wrong with it."""
    text = str(error.format_message())
    option = getattr(error, "option_name", "")
    if option in _OF_VERBS and error.ctx is not None and error.ctx.parent is None:
        return Fault(str(option), f"stands behind the verb, as in: {_program()} runs {option} ...")
    if option:
        close = ", ".join(getattr(error, "possibilities", None) or ())
        return Fault(str(option), f"no such option; did you mean {close}?" if close else _decapitalized(text))
    param = getattr(error, "param", None)
    if param is None:
        return Fault("", _decapitalized(text))
    is_option = param.param_type_name == "option"
    path = str(param.opts[0] if is_option else param.metavar or param.name)
    if not error.message:
        return Fault(path, "is missing")
    return Fault(path, _decapitalized(str(error.message).removeprefix("Value error, ").rstrip(".")))


def _decapitalized(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def advice(args: Sequence[str]) -> str:
    """Where the right way is written, as a line of its own."""
    return f"try: {' '.join(filter(None, (_program(), _only_verb(args, sections_of(args)))))} --help\n"


def _alone(
    context: typer.Context,
    version: Annotated[  # noqa: FBT002 - a switch
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True)
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001, FBT002 - read before parsing, see __main__
) -> None:
    if version:
        from cairn_runtime import __version__

        typer.echo(f"cairn {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _program() -> str:
    """The name that was typed: `cairn`, or `kubectl cairn` for the plugin."""
    return "kubectl cairn" if called_by_kubectl() else "cairn"


def _show_log() -> None:
    import logging

    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
