"""Care of a store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cairn_runtime.cli.options import DebugOption, OutputOption, StoreOption
from cairn_runtime.cli.outputs import Format, Output
from cairn_runtime.cli.verbs.finishing import finish


class Care(StrEnum):
    """What is done with a store."""

    CHECK = "check"
    MIGRATE = "migrate"
    REKEY = "rekey"
    NEW_KEY = "new-key"


def store(
    care: Annotated[
        Care,
        typer.Argument(
            metavar="check|migrate|rekey|new-key",
            help="check: how it is. migrate: bring its schema forward. rekey: encrypt everything with the "
            "first key of CAIRN_KEYS_FILE, while it is in use. new-key: add a random key to FILE.",
            show_default=False,
        ),
    ],
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="With new-key: the key file.", show_default=False)
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="With new-key: what the key is called; default: the date."
        ),
    ] = "",
    first: Annotated[
        bool,
        typer.Option("--first", help="With new-key: write with it from now on.", show_default=False),
    ] = False,
    store: StoreOption = None,
    output: OutputOption = Format.TABLE,
    debug: DebugOption = False,
) -> int:
    """Care for a store: check, migrate, rekey, new-key. Keys are never shown."""
    from cairn_runtime.cli import caring

    out = Output(output)
    match care:
        case Care.CHECK:
            return finish(caring.check(out, store))
        case Care.MIGRATE:
            return finish(caring.migrate(out, store))
        case Care.REKEY:
            return finish(caring.encrypt_again(out, store))
        case Care.NEW_KEY:
            return caring.new_key(out, file, name, first=first)
