"""The commands of the harness: up, down, show, program, test.

`make cluster-up`, `make cluster-down` and `make test-cluster` are these.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from tests.cluster.harness.choosing import Provider, chosen, present
from tests.cluster.harness.commands import ClusterError, say
from tests.cluster.harness.failures import FOLDER
from tests.cluster.harness.places import places
from tests.cluster.harness.tools import TOOLS, built

OWN = "CAIRN_TEST_OWN_CLUSTER"
"""Tells the tests that this cluster was started for them alone: they may end it and start it again."""


def main(argv: Sequence[str]) -> int:
    """Do what was typed; answer the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.harness", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start a cluster, or find the one that is there")
    verbs.add_parser("down", help="end it, and leave nothing of it")
    verbs.add_parser("show", help="how to use the one that is there")
    program = verbs.add_parser(
        "program", help="where a program for tests lies; it is built if it is not there"
    )
    program.add_argument("name", choices=TOOLS)
    test = verbs.add_parser("test", help="run pytest on it; what was not there before is ended afterwards")
    test.add_argument("arguments", nargs=argparse.REMAINDER)
    typed = parser.parse_args(argv)
    # So that what was started is ended also when somebody ends us.
    signal.signal(signal.SIGTERM, _leave)
    try:
        match typed.verb:
            case "up":
                return up()
            case "down":
                return down()
            case "show":
                return _show(present(places()))
            case "program":
                sys.stdout.write(f"{built(places(), typed.name)}\n")
                return 0
            case _:
                return run_tests(typed.arguments)
    except ClusterError as error:
        say(str(error))
        return 1


def up() -> int:
    """Start a cluster and say how to use it."""
    provider = chosen(places())
    say(f"{'using' if provider.running() else 'starting'} the cluster: {provider.name}")
    provider.up()
    return _show(provider)


def down() -> int:
    """End the cluster that was started, whichever it is."""
    provider = chosen(places())
    provider.down()
    say("it is a given one and stays" if provider.name == "given" else "no cluster of the harness is left")
    return 0


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest on the cluster, which is ended afterwards if it was started for this."""
    provider = chosen(places())
    was_there = provider.running()
    try:
        provider.up()
        shutil.rmtree(FOLDER, ignore_errors=True)  # what lies there afterwards is of these tests
        environ = {**os.environ, **({} if was_there else {OWN: provider.name})}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments], env=environ, check=False
        ).returncode
    finally:
        if not was_there:
            provider.down()


def _show(provider: Provider) -> int:
    """Say on standard output what to type; it can be evaluated by a shell."""
    sys.stdout.write(f"export KUBECONFIG={provider.kubeconfig}\n")
    say(f"use it in this shell by the line above, then for example: {provider.kubectl} get nodes")
    return 0


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
