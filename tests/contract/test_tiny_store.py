"""The example of a store from outside: installed like any package, found by its scheme, and sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/tiny-store"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it; the backend is called directly, so no network is needed."""
    folder = tmp_path_factory.mktemp("tiny")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=EXAMPLE, check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that sees the installed package, and nothing of this test's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CAIRN_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=own | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


@pytest.mark.timeout(600)
def test_the_tiny_store_keeps_the_contract(site, tmp_path):
    """Its own test module, run as its author does: the suite needs nothing of this repository's settings."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))

    done = python(site, "-m", "pytest", "-q", "-n", "0", "tests", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_workflow_runs_on_the_tiny_store(site, tmp_path):
    """From the URL through the entry point to the runner's process, and what it wrote is proved."""
    url = f"tiny://{tmp_path}/runs"
    manifest = str(ROOT / "examples/diamond/workflow.yaml")

    ran = python(site, "-m", "cairn_runtime.cli", "run", manifest, "--store", url, "-o", "json", cwd=tmp_path)
    proved = python(site, "-m", "cairn_runtime.cli", "verify", "diamond", "--store", url, cwd=tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["phase"] == "Succeeded"
    assert proved.returncode == 0, proved.stdout + proved.stderr
    assert len(list((tmp_path / "runs").glob("*.json"))) == 1


def test_a_killed_runner_goes_on_from_the_tiny_store(site, tmp_path):
    """SIGKILL in the middle of a task: the next attempt goes on from the newest checkpoint."""
    manifest = str(ROOT / "examples/diamond/workflow.yaml")
    command = ("run", manifest, "--store", f"tiny://{tmp_path}/runs", "--kill-at", "count", "-o", "json")

    ran = python(site, "-m", "cairn_runtime.cli", *command, cwd=tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["restarts"] == 1


def test_its_url_says_what_it_needs(site, tmp_path):
    """A URL that cannot be used is bad usage with the form to write, like those of Cairn's own stores."""
    ran = python(site, "-m", "cairn_runtime.cli", "runs", "--store", "tiny://host/runs", cwd=tmp_path)

    assert ran.returncode == 2
    assert "write tiny:///absolute/folder" in ran.stderr
