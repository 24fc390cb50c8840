from __future__ import annotations

from pathlib import Path

import pytest

from cairn_runtime.engine.execute.sources import CodeSource, Files
from cairn_runtime.errors import StepUnusable


@pytest.fixture(autouse=True)
def _temporary_files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_inline_code_is_written_once_into_a_private_folder() -> None:
    """Files by name, folders among them; nobody else may look."""
    files = Files(CodeSource(inline={"steps.py": "X = 'é'", "pkg/part.py": "Y = 2"}))

    (path,) = files.code_folders()

    assert files.code_folders() == [path]
    assert (Path(path, "steps.py").read_text("utf-8"), Path(path, "pkg/part.py").read_text()) == (
        "X = 'é'",
        "Y = 2",
    )
    assert Path(files.root()).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["../steps.py", "/etc/steps.py", "a/../../b.py", "", "a\0b.py"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    """The manifest comes from whoever may create one."""
    with pytest.raises(StepUnusable, match="not a file name inside"):
        Files(CodeSource(inline={name: ""})).code_folders()


def test_inline_code_stands_before_the_folder(tmp_path: Path) -> None:
    """It was written for this very Workflow; commands run in the manifest's folder all the same."""
    files = Files(CodeSource(str(tmp_path), {"steps.py": ""}))

    assert files.code_folders() == [files.inline_folder(), str(tmp_path)]
    assert files.working_folder() == str(tmp_path)


def test_commands_run_beside_inline_code_if_there_is_no_folder() -> None:
    """`run: python part.py` finds the file; without any code each command gets a folder of its own."""
    files = Files(CodeSource(inline={"part.py": ""}))

    assert files.working_folder() == files.inline_folder()
    assert Files(CodeSource()).working_folder() is None


def test_a_relative_folder_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A step may change the working directory."""
    monkeypatch.chdir(tmp_path)

    assert Files(CodeSource("code")).code_folders() == [str(tmp_path / "code")]


def test_nothing_is_written_before_it_is_needed_and_nothing_stays(tmp_path: Path) -> None:
    """A run of async steps leaves the disk alone."""
    files = Files(CodeSource(inline={"steps.py": ""}))
    before = list(tmp_path.iterdir())
    files.code_folders()
    first, second = files.new_place(), files.new_place()

    assert before == []
    assert first != second

    files.close()

    assert list(tmp_path.iterdir()) == []
