"""Which verbs there are, in the order in which a person meets them, and what the help shows.

Typer parses; what it raises and what our own rooms raise meet in `__main__`.
Its panels are left aside: plain help starts in half the time and reads the same in a pager.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cairn_runtime.cli.options import DebugOption, called_by_kubectl
from cairn_runtime.cli.verbs import answering, caring, checking, keeping, looking, moving, running, tending
from cairn_runtime.errors import Fault

UsageError: Any = typer.BadParameter.__bases__[0]
"""What the parser raises; it has no public name, but a public child."""

SECTIONS: dict[str, tuple[tuple[Callable[..., int], str], ...]] = {
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

_EPILOG = "A first run: cairn run FILE; then cairn checkpoints, cairn state NAME, cairn graph FILE."


class _Sections(TyperGroup):
    """A group whose help lists the verbs by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - the parser's own types are private
        """Write a section for each group of verbs."""
        for title, verbs in SECTIONS.items():
            names = [verb.__name__ for verb, _ in verbs if verb.__name__ in self.commands]
            if not names:
                continue
            room = formatter.width - 6 - max(len(name) for name in names)
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the parser's own types are private
        """Name the verbs, for completion."""
        return list(self.commands)


def build_app(only: str = "") -> typer.Typer:
    """Make the command line; with `only` this one verb, since each takes its time to build."""
    app = typer.Typer(
        name="cairn",
        cls=_Sections,
        help="Run Workflows as graphs of steps that survive the death of their process.",
        epilog=_EPILOG,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(_alone)
    for verbs in SECTIONS.values():
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
    code = typer.main.get_command(build_app(_only_verb(args))).main(
        list(args), prog_name=_program(), standalone_mode=False
    )
    return code if isinstance(code, int) else 0


def _only_verb(args: Sequence[str]) -> str:
    """The verb that is called, where that is certain: the first argument; else everything is needed."""
    known = {verb.__name__ for verbs in SECTIONS.values() for verb, _ in verbs}
    return args[0] if args and args[0] in known and "_CAIRN_COMPLETE" not in os.environ else ""


def usage_fault(error: Any) -> Fault:  # noqa: ANN401 - the parser's own types are private
    """A usage error as a fault: which option or argument, as it is typed, and what is wrong with it."""
    text = str(error.format_message())
    option = getattr(error, "option_name", "")
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
    return f"try: {' '.join(filter(None, (_program(), _only_verb(args))))} --help\n"


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
