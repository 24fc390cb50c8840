"""The README's example, taken from its page and run: what a first reader types has to work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the README's two files, which is where its reader would be; the store is made there."""
    page = (ROOT / "README.md").read_text()
    manifest, *_ = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    steps, program, *_ = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "review.yaml").write_text(manifest)
    (tmp_path / "steps.py").write_text(steps)
    (tmp_path / "program.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_readmes_program_publishes(folder):
    """It waits for the approval, gives it, goes on, and the last step has written its file."""
    program: dict[str, object] = {}
    exec((folder / "program.py").read_text(), program)  # noqa: S102 - our own README

    text = await program["publish"]()  # type: ignore[operator]

    assert text == "All about cairns."
    assert '"approved":true' in (folder / "published.json").read_text()
    assert (folder / ".cairn" / "cairn.db").exists()
