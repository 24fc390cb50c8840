"""The example that is written in Python: run as a program, and as the manifest that it prints."""

from __future__ import annotations

import subprocess
import sys

from tests.crash.examples.places import EXAMPLES, cairn, environment

PROGRAM = EXAMPLES / "in-python" / "letters.py"


def python(*args, cwd):
    command = [sys.executable, str(PROGRAM), *args]
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def test_it_runs_as_a_program(tmp_path):
    """Its own functions are the steps, and the run is in the store like any other."""
    assert python(cwd=tmp_path) == "Succeeded 20 waymark\n"

    (found,) = cairn("runs", "letters", "-o", "json", cwd=tmp_path).document
    assert found["phase"] == "Succeeded"


def test_its_manifest_runs_like_one_written_by_hand(tmp_path):
    """What it prints is a file for `cairn run`, with the program beside it as its code."""
    (tmp_path / "letters.py").write_bytes(PROGRAM.read_bytes())
    (tmp_path / "letters.yaml").write_text(python("yaml", cwd=tmp_path))

    answer = cairn("run", "letters.yaml", "-o", "json", cwd=tmp_path)

    assert answer.code == 0, answer.err
    assert answer.document["state"]["longest"] == "waymark"
