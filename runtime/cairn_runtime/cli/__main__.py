"""From the arguments to an exit code: the one place where an exception becomes words.

    CairnError          its message, its exit_code
    a wrong argument    what the parser says, 2
    Ctrl-C              130
    anything else       "unexpected error", 70; the traceback only with --debug

With `-o json` or `-o yaml` the same facts are the document on standard output.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from cairn_runtime.cli.outputs import Format, encode, go_mute, write
from cairn_runtime.errors import EXIT_INTERRUPTED, CairnError, InvalidInput

EXIT_UNEXPECTED = 70
"""A fault of Cairn itself: EX_SOFTWARE of sysexits."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer the process's exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    # What is loaded at the start lives to the end; to look for garbage in it took a quarter of the time.
    gc.disable()
    try:
        return _call(args)
    finally:
        gc.enable()


def _call(args: list[str]) -> int:
    format_, debug = asked_format(args), "--debug" in args or bool(os.environ.get("CAIRN_DEBUG"))
    from cairn_runtime.cli import app

    try:
        return app.parse_and_call(args, debug=debug)
    except app.UsageError as error:
        return _tell(InvalidInput([app.usage_fault(error)]), format_, debug=debug, advice=app.advice(args))
    except CairnError as error:
        return _tell(error, format_, debug=debug, advice=_mend(error))
    except KeyboardInterrupt:
        write(sys.stderr, "\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        go_mute(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001 - the last net: one line instead of a traceback
        return _tell_unexpected(error, format_, debug=debug)


def asked_format(args: Sequence[str]) -> Format:
    """The format that errors are told in, before the arguments are known to be right."""
    for n, arg in enumerate(args):
        if arg == "--":
            break
        value = arg.removeprefix("--output=").removeprefix("-o=").removeprefix("-o")
        if arg in ("-o", "--output"):
            value = args[n + 1] if n + 1 < len(args) else ""
        elif value == arg:
            continue
        if value in (Format.JSON, Format.YAML):
            return Format(value)
    return Format.TABLE


def _tell(error: CairnError, format_: Format, *, debug: bool, advice: str = "") -> int:
    """Say what went wrong: faults one a line, each with its path."""
    from cairn_runtime.cli.views.shapes import error_document
    from cairn_runtime.cli.views.texts import plain

    _trace(debug=debug)
    if format_ is not Format.TABLE:
        write(sys.stdout, encode(error_document(error), format_))
        return error.exit_code
    lines = [plain(line) for line in error.message.splitlines()] or [error.reason]
    text = (
        f"error: {lines[0]}"
        if len(lines) == 1
        else "\n".join([f"error: {len(lines)} faults", *(f"  {line}" for line in lines)])
    )
    write(sys.stderr, f"{text}\n{advice}")
    return error.exit_code


def _mend(error: CairnError) -> str:
    """What mends it, as a line of its own."""
    from cairn_runtime.cli.mends import mend_of

    mend = mend_of(error)
    return f"  -> {mend}\n" if mend else ""


def _trace(*, debug: bool) -> None:
    """Show where the error under way comes from, where that is wanted."""
    if debug:
        import traceback

        traceback.print_exc()


def _tell_unexpected(error: Exception, format_: Format, *, debug: bool) -> int:
    from cairn_runtime.cli.views.shapes import error_shape
    from cairn_runtime.cli.views.texts import plain

    _trace(debug=debug)
    text = plain(f"unexpected error: {type(error).__name__}: {error}; run with --debug to see where")
    if format_ is not Format.TABLE:
        write(sys.stdout, encode({"error": error_shape("Unexpected", text, ())}, format_))
    else:
        write(sys.stderr, f"{text}\n")
    return EXIT_UNEXPECTED


if __name__ == "__main__":
    sys.exit(main())
