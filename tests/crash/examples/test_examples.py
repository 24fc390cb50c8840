"""Every example, applied as it is and killed in the middle, ends as it says."""

from __future__ import annotations

import json
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.crash.examples.places import (
    EXAMPLES,
    NAMES,
    ROOT,
    apply,
    blocks,
    cairn,
    copied,
    environment,
    on_page,
)

CODES = {"Succeeded": 0, "Failed": 1, "Waiting": 3}
MIDDLE = {
    "agent": "act#1[1]",
    "diamond": "count",
    "fallback": "stored",
    "hello": "greet",
    "license-report": "classify#1[5]",
    "review-loop": "draft#2",
}
"""A task of each example in whose middle its runner is killed."""
TYPED = [
    ROOT / "docs/quickstart.md",
    ROOT / "docs/howto/write-a-workflow.md",
    *(page for page in sorted(EXAMPLES.glob("*/*.md")) if page.parent.name != "tiny-store"),
]
"""The pages whose commands follow one another in a clone; the outside store is installed by its own test."""


def expected(name: str) -> dict[str, Any]:
    """What an example says of its end."""
    document: dict[str, Any] = json.loads((EXAMPLES / name / "expected.json").read_text())
    return document


def require(name: str, answer: Any, wanted: dict[str, Any]) -> None:
    """Compare an answer of `cairn run` with what was expected, and look at what holds on every machine."""
    assert answer.code == CODES[wanted["phase"]], answer.err or answer.out
    document = answer.document
    assert document["phase"] == wanted["phase"]
    assert {channel: document["state"][channel] for channel in wanted["state"]} == wanted["state"]
    invariants = EXAMPLES / name / "expected.py"
    if invariants.exists():
        runpy.run_path(str(invariants))["check"](document["state"])


def play(name: str, folder: Path, *args: str) -> Any:
    """Run an example to its end, with the answer that it waits for; returns what `cairn run` said first."""
    wanted = expected(name)
    first = apply(name, *args, cwd=folder)
    require(name, first, wanted)
    if "answer" in wanted:
        told = wanted["answer"]
        verb = "approve" if told["approved"] else "reject"
        said = cairn(verb, name, "--step", told["step"], "--value", json.dumps(told["value"]), cwd=folder)
        assert said.code == 0, said.err
        require(name, apply(name, cwd=folder), wanted["then"])
    return first.document


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_ends_as_it_says(name, tmp_path):
    """What `expected.json` (and `expected.py`) say is what comes out, without a restart."""
    document = play(name, tmp_path)

    assert document["restarts"] == 0
    assert cairn("verify", name, cwd=tmp_path).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_example_ends_as_if_nothing_had_happened(name, tmp_path):
    """SIGKILL for the runner in the middle of a task changes nothing about the end."""
    document = play(name, tmp_path, "--kill-at", MIDDLE[name])

    assert document["restarts"] == 1
    assert cairn("verify", name, cwd=tmp_path).code == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_whole(name):
    """Each folder has its manifest, named like the folder, its page, and its expected result."""
    folder = EXAMPLES / name
    manifest = yaml.safe_load((folder / "workflow.yaml").read_text())

    assert manifest["metadata"]["name"] == name
    assert (folder / "README.md").read_text().startswith(f"# {name}: ")
    assert f"]({name}/README.md)" in (EXAMPLES / "README.md").read_text()
    assert expected(name)["phase"] in CODES


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED, ids=on_page)
def test_what_a_page_types_can_be_typed(page, tmp_path):
    """The commands of a page's console blocks, in their order, end well or in a wait."""
    home = copied(tmp_path)
    typed = [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line[:2] == "$ "]
    made = [
        line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("cairn run")
    ]

    for line in [*made, *typed]:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=home,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode in (0, 3), (line, done.stdout, done.stderr)
    assert typed


@pytest.mark.slow
def test_a_rejected_letter_is_shelved(tmp_path):
    """The other answer leads the other way, and nothing is sent."""
    assert apply("review-loop", cwd=tmp_path).code == 3
    assert cairn("reject", "review-loop", "--step", "sign", "--value", '"No."', cwd=tmp_path).code == 0

    answer = apply("review-loop", cwd=tmp_path)

    assert (answer.code, answer.document["state"]["outcome"]) == (0, "not sent: No.")
    assert not (tmp_path / "outbox").exists()


@pytest.mark.slow
def test_a_letter_is_delivered_once(tmp_path):
    """The step that sends is called twice with one key, so there is one letter, whole."""
    play("review-loop", tmp_path)

    letters = list((tmp_path / "outbox").iterdir())

    assert [letter.suffix for letter in letters] == [".txt"]
    assert letters[0].read_text().endswith("P.S. Bring tea.\n")


@pytest.mark.slow
def test_the_first_way_is_taken_where_there_is_one(tmp_path):
    """With rates to be had, nothing is caught and the second way is not gone."""
    rates = (EXAMPLES / "fallback" / "rates.json").as_uri()

    answer = apply("fallback", "--set", f"rates_url={rates}", cwd=tmp_path)

    assert answer.code == 0
    assert (answer.document["state"]["source"], answer.document["state"]["error"]) == ("live", None)
    assert answer.document["checkpoints"] == 3


@pytest.mark.slow
def test_a_long_step_goes_on_where_it_was(tmp_path):
    """A runner that is killed from outside loses one part of the counting, not all of it."""
    file = str(EXAMPLES / "diamond" / "workflow.yaml")
    command = [sys.executable, "-m", "cairn_runtime.cli", "run", file, "--set", "limit=3000000"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        lines = []
        for line in run.stdout:
            lines.append(line)
            if "counted 5 of 20" in line:
                kill_runner(run.pid)
        assert run.wait(timeout=60) == 0, lines

    begun = [int(part) for part in re.findall(r"begins at part (\d+)", "".join(lines))]
    assert begun[0] == 1
    assert len(begun) == 2
    assert begun[1] > 5
    assert cairn("state", "diamond", "-o", "json", cwd=tmp_path).document["primes"] == 216816


def kill_runner(supervisor: int) -> None:
    """Send SIGKILL to the runner process that a supervisor has started."""
    for _ in range(100):
        for task in Path(f"/proc/{supervisor}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if b"cairn_runtime.runner" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    subprocess.run(["kill", f"-{signal.SIGKILL.value}", pid], check=True)
                    return
        time.sleep(0.05)
    raise AssertionError("the supervisor has no runner")
