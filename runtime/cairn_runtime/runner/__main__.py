"""`python -m cairn_runtime.runner`: the process that a pod runs, and `cairn run` on a laptop.

Nothing but the order of things: hear the word to stop first, then load what is heavy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cairn_runtime.runner.stopping import Stopping

_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def main() -> int:
    """Run the runner process; returns its exit code."""
    stopping = Stopping()
    stopping.listen()
    with _no_plugins():
        from cairn_runtime.model.workflow import Workflow  # noqa: PLC0415 - see the head of this module
        from cairn_runtime.runner.process import main as run  # noqa: PLC0415 - the same

        Workflow.model_rebuild()

    return run(stopping)


@contextmanager
def _no_plugins() -> Iterator[None]:
    """Build our own models without pydantic's plugins, which takes 30 ms less; a step's models have them."""
    if _PLUGINS in os.environ:
        yield
        return
    os.environ[_PLUGINS] = "__all__"
    try:
        yield
    finally:
        del os.environ[_PLUGINS]


if __name__ == "__main__":
    sys.exit(main())
