"""What is installed: both packages, nothing else, and nothing in the way of the standard library."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(*arguments: str) -> str:
    """Run the interpreter of the tests from the checkout's root; answer what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a fresh wheel; the backend is called directly, so no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (built,) = folder.glob("*.whl")
    with ZipFile(built) as archive:
        return set(archive.namelist())


def sources(package: str) -> set[str]:
    """Every file of a package in the checkout, as its path in the wheel."""
    root = ROOT / ("runtime" if package == "cairn_runtime" else "operator")
    files = (path for path in (root / package).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in files if "__pycache__" not in path.parts}


@pytest.mark.parametrize("root", ["operator", "runtime"])
def test_source_roots_are_no_packages(root):
    """With an __init__.py, operator/ would hide the standard library's module of that name."""
    assert not (ROOT / root / "__init__.py").exists()


def test_the_standard_operator_stays_itself_in_the_checkout():
    """A program started in the checkout's root gets the standard library's `operator`."""
    printed = python("-c", "import operator, sys; print(operator.itemgetter(1)('ab'), operator.__file__)")

    letter, origin = printed.split(maxsplit=1)
    assert letter == "b"
    assert ROOT not in Path(origin).parents


@pytest.mark.parametrize("package", ["cairn_operator", "cairn_runtime"])
def test_the_wheel_holds_every_file_of_a_package(wheel, package):
    """Code, type marker, SQL and whatever else lies in a package is installed with it."""
    assert sources(package) <= wheel
    assert f"{package}/py.typed" in wheel


def test_the_wheel_holds_nothing_else(wheel):
    """Tests, examples and benchmarks stay at home; the licence goes along."""
    roots = {name.split("/")[0] for name in wheel}

    assert {name for name in roots if not name.endswith(".dist-info")} == {"cairn_operator", "cairn_runtime"}
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_the_wheel_is_named_after_the_version_in_the_code(wheel):
    """The version stands once, in the runtime's own module."""
    import cairn_runtime  # noqa: PLC0415 - what is asked is the installed package

    assert f"cairn_workflows-{cairn_runtime.__version__}.dist-info/METADATA" in wheel


def test_scripts_point_at_a_function_that_is_there():
    """`cairn` and `kubectl cairn` are the same program; it can be called, and what completes it."""
    scripts = PYPROJECT["project"]["scripts"]

    assert set(scripts) == {"cairn", "kubectl-cairn", "kubectl_complete-cairn"}
    assert scripts["cairn"] == scripts["kubectl-cairn"]
    for script in scripts.values():
        module, _, function = script.partition(":")
        assert python("-c", f"from {module} import {function}; print(callable({function}))") == "True"


@pytest.mark.parametrize("extra", sorted(PYPROJECT["project"]["optional-dependencies"]))
def test_every_extra_is_explained(extra):
    """Whoever reads an extra's name in pyproject.toml finds its reason in the page on dependencies."""
    page = (ROOT / "docs/design/0001-dependencies.md").read_text()

    assert f"`{extra}`" in page


@pytest.mark.parametrize("requirement", PYPROJECT["project"]["dependencies"])
def test_every_dependency_is_bounded_and_explained(requirement):
    """A core dependency has a lower and an upper bound, and a reason on record."""
    name = requirement.split(">=")[0]
    page = (ROOT / "docs/design/0001-dependencies.md").read_text()

    assert ">=" in requirement
    assert ",<" in requirement
    assert f"`{name}`" in page
