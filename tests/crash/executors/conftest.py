from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cairn_runtime.engine.execute import CodeSource, Executor


@pytest.fixture
async def with_folder(tmp_path: Path) -> AsyncIterator[Callable[..., Executor]]:
    """Makes an executor for a folder with these files; closed after the test."""
    made: list[Executor] = []

    def make(**files: str) -> Executor:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        made.append(Executor(code=CodeSource(str(tmp_path))))
        return made[-1]

    yield make
    for executor in made:
        await executor.close()
