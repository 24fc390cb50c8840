from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from cairn_runtime.engine.execute.loading import Loader
from cairn_runtime.errors import StepUnusable


@pytest.fixture(autouse=True)
def _modules_left_as_they_were() -> Iterator[None]:
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.path[:] = path


def folder(root: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def call(loader: Loader, ref: str) -> Any:
    return cast("Any", loader.find(ref))()


def test_a_function_is_found_in_a_module_a_package_and_a_class(tmp_path: Path) -> None:
    """Modules may be dotted, and so may what is in them."""
    files = {
        "flat_steps.py": "def f(): return 1\nclass Tools:\n    @staticmethod\n    def f(): return 2",
        "deep/__init__.py": "",
        "deep/steps.py": "def f(): return 3",
        "loose/steps.py": "def f(): return 4",
    }
    loader = Loader([folder(tmp_path, files)])

    refs = ["flat_steps:f", "flat_steps:Tools.f", "deep.steps:f", "loose.steps:f"]

    assert [call(loader, ref) for ref in refs] == [1, 2, 3, 4]


def test_the_first_folder_wins(tmp_path: Path) -> None:
    """Inline code stands before the manifest's folder."""
    first = folder(tmp_path / "a", {"both_steps.py": "def f(): return 1"})
    second = folder(
        tmp_path / "b", {"both_steps.py": "def f(): return 2", "more_steps.py": "def f(): return 3"}
    )
    loader = Loader([first, second])

    assert [call(loader, "both_steps:f"), call(loader, "more_steps:f")] == [1, 3]


def test_two_runs_in_one_process_do_not_mix_up_modules_of_one_name(tmp_path: Path) -> None:
    """Each keeps its own, in whatever order they load; the older one goes on with what it has."""
    files = [
        {"same_steps.py": f"import same_part\ndef f(): return same_part.N, {n}", "same_part.py": f"N = {n}"}
        for n in (1, 2)
    ]
    one, two = (Loader([folder(tmp_path / str(n), f)]) for n, f in enumerate(files))

    first = call(one, "same_steps:f")
    second = call(two, "same_steps:f")

    assert (first, second) == ((1, 1), (2, 2))
    assert call(one, "same_steps:f") == (1, 1)


def test_a_module_that_the_program_imported_itself_is_the_one_that_runs(tmp_path: Path, monkeypatch) -> None:
    """A test that imports the steps and runs the Workflow sees one module, not two."""
    path = folder(tmp_path, {"own_steps.py": "def f(): return f"})
    monkeypatch.syspath_prepend(path)
    import own_steps  # type: ignore[import-not-found]  # noqa: PLC0415 - written just now

    assert call(Loader([path]), "own_steps:f") is own_steps.f


def test_closing_takes_the_folder_off_the_path(tmp_path: Path) -> None:
    """Nothing of a run stays in the way of the next import."""
    path = folder(tmp_path, {"gone_steps.py": "def f(): ..."})
    loader = Loader([path])
    loader.find("gone_steps:f")

    loader.close()

    assert path not in sys.path


@pytest.mark.parametrize(
    ("files", "ref", "message"),
    [
        pytest.param(
            {"steps_a.py": ""},
            "steps_b:f",
            r'python: "steps_b:f": there is no module "steps_b" in .*; did you mean "steps_a"\?',
            id="no such module",
        ),
        pytest.param(
            {"pkg_x/__init__.py": ""},
            "pkg_x.steps:f",
            'there is no module "pkg_x.steps"',
            id="no such submodule",
        ),
        pytest.param(
            {"steps_c.py": "def fetch(): ..."},
            "steps_c:fetsh",
            r'there is no fetsh in module steps_c; did you mean "fetch"\?',
            id="no such function",
        ),
        pytest.param(
            {"steps_d.py": "class T: ..."},
            "steps_d:T.run",
            "there is no T.run in module steps_d",
            id="no such member",
        ),
        pytest.param(
            {"steps_e.py": "import os\nimport absent_thing\n"},
            "steps_e:f",
            r"steps_e\.py, line 2: ModuleNotFoundError: No module named 'absent_thing'",
            id="an import inside it fails",
        ),
        pytest.param(
            {"steps_f.py": "x = 1\ndef f(:\n"},
            "steps_f:f",
            r"steps_f\.py, line 2: SyntaxError: invalid syntax",
            id="it is not Python",
        ),
        pytest.param(
            {"steps_g.py": "import steps_g2", "steps_g2.py": "\n\nraise ValueError('no key')"},
            "steps_g:f",
            r"steps_g2\.py, line 3: ValueError: no key",
            id="a module that it imports raises",
        ),
        pytest.param(
            {"steps_h.py": "import sys\nsys.exit(3)"},
            "steps_h:f",
            r"steps_h\.py, line 2: SystemExit: 3",
            id="it ends the interpreter",
        ),
        pytest.param(
            {"steps_i.py": "import json\njson.loads('{')"},
            "steps_i:f",
            r"steps_i\.py, line 2: JSONDecodeError",
            id="a library that it calls raises: its own line is named",
        ),
        pytest.param(
            {"steps_j.py": "from steps_j2 import nope", "steps_j2.py": ""},
            "steps_j:f",
            r"steps_j\.py, line 1: ImportError: cannot import name 'nope'",
            id="a name that is not there",
        ),
        pytest.param(
            {"logging.py": "def f(): ..."},
            "logging:f",
            r"the name logging is taken by .*logging/__init__\.py; rename your module",
            id="the name of a loaded library module",
        ),
        pytest.param(
            {"steps_k.py": "class E(Exception):\n    def __str__(self): raise E\nraise E"},
            "steps_k:f",
            r"steps_k\.py, line 3: E: a E whose text cannot be shown",
            id="an exception that cannot be shown",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told_with_its_line(
    tmp_path: Path, files: dict[str, str], ref: str, message: str
) -> None:
    """StepUnusable, whatever the module did."""
    with pytest.raises(StepUnusable, match=message):
        Loader([folder(tmp_path, files)]).find(ref)


def test_a_module_that_failed_can_be_loaded_once_it_is_mended(tmp_path: Path) -> None:
    """Nothing of the failure is remembered."""
    path = folder(tmp_path, {"mended_steps.py": "raise ValueError"})
    with pytest.raises(StepUnusable):
        Loader([path]).find("mended_steps:f")

    folder(tmp_path, {"mended_steps.py": "def f(): return 'mended, and of another length'"})

    assert call(Loader([path]), "mended_steps:f").startswith("mended")


def test_nothing_of_a_failed_import_is_kept_alive(tmp_path: Path) -> None:
    """The error holds no frame of the module: they would hold its values."""
    with pytest.raises(StepUnusable) as caught:
        Loader([folder(tmp_path, {"held_steps.py": "secret = 'x'\nraise ValueError"})]).find("held_steps:f")

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
