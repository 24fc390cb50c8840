"""`make demo` shows what it says, and its proofs can fail."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.crash.examples.places import EXAMPLES, environment

DEMO = EXAMPLES / "license-report" / "demo.py"


def play(folder: Path) -> subprocess.CompletedProcess[str]:
    """Play the demo in a folder, without a terminal."""
    command = [sys.executable, str(DEMO), str(folder)]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=500, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_proves_what_it_says(tmp_path):
    """A kill, a run that goes on, nothing twice, a look back, a fork; no colours where no terminal is."""
    done = play(tmp_path / "demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "runner died (SIGKILL)" in done.stdout
    assert "✓ committed by the first and run again: 0\n" in done.stdout
    assert "✓ distributions that were read again for it: 0\n" in done.stdout
    assert "✗" not in done.stdout
    assert "\033" not in done.stdout
    assert len(done.stdout.splitlines()) < 150, "long stretches of items are folded"


def test_the_demo_wants_a_place_of_its_own(tmp_path):
    """It writes into no folder that holds something already."""
    (tmp_path / "mine.txt").touch()

    done = play(tmp_path)

    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture
def demo(monkeypatch) -> ModuleType:
    """The demo as a module, with its folder on the path."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    spec = importlib.util.spec_from_file_location("license_report_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers:
    """Stands for the command line: what it would answer about a run of three items."""

    def __init__(self, epoch: int = 2, results: int = 3) -> None:
        self._answers = {"runs": [{"epoch": epoch}], "state": {"packages": [{}] * results}}

    def ask(self, verb: str, *_: str) -> Any:
        """Answer."""
        return self._answers[verb]


def row(item: int, epoch: int) -> dict[str, Any]:
    """A checkpoint of an item."""
    return {"step": "classify", "visit": 1, "item": item, "epoch": epoch}


def call(item: int, pid: int) -> dict[str, Any]:
    """A line of the trace."""
    return {"task": f"classify#1[{item}]", "attempt": 1, "pid": pid}


ROWS = [row(0, 1), row(1, 2), row(2, 2)]
CALLS = [call(0, 10), call(1, 10), call(1, 20), call(2, 20)]
"""The first runner, process 10, committed item 0 and was killed at item 1; the second did the rest."""


@pytest.mark.parametrize(
    ("rows", "calls", "answers", "failed"),
    [
        (ROWS, CALLS, Answers(), []),
        (
            ROWS,
            [*CALLS, call(0, 20)],
            Answers(),
            ["committed by the first and run again: 1", "cut off", "calls"],
        ),
        ([*ROWS, row(0, 2)], CALLS, Answers(), ["none of them twice"]),
        (ROWS, CALLS[:-1], Answers(), ["none of them twice", "calls"]),
        (ROWS, CALLS, Answers(results=2), ["none of them twice", "calls"]),
        (ROWS, CALLS, Answers(epoch=1), ["one runner was killed"]),
        (ROWS, [*CALLS, call(2, 20)], Answers(), ["calls"]),
    ],
    ids=[
        "as it should be",
        "a committed task ran again",
        "a task was committed twice",
        "a task never ran",
        "a result is missing",
        "nobody was killed",
        "a task ran twice in one runner",
    ],
)
def test_a_broken_promise_fails_the_demo(demo, capsys, rows, calls, answers, failed):
    """Each proof fails where it must, and says so."""
    stage = demo.Stage()

    demo.prove_nothing_ran_twice(stage, answers, rows, calls)

    assert len(stage.failed) == len(failed)
    assert all(part in claim for part, claim in zip(failed, stage.failed, strict=True))
    assert capsys.readouterr().out.count("✗") == len(failed)


def test_a_failed_proof_is_the_exit_code(demo, capsys, tmp_path):
    """The demo ends with 1 if something was not as promised, and names it once more."""
    stage = demo.Stage()
    stage.failed.append("the old run is as it was")

    code = demo.finish(stage, tmp_path, 1.0)

    assert code == 1
    assert "this does not hold: the old run is as it was\n" in capsys.readouterr().out
