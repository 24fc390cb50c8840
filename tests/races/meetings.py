"""Where processes meet before a race: nobody goes on before all are there.

Each place has a pipe of its own. Whoever comes writes a byte into the pipes of the others and reads one for
each of them from its own; so the last one to come does not sleep at all, and no process stands between them.
Pipes belong to places, not to processes: the successor of a killed writer takes over its place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence


class Meetings:
    """Pipes of some places; made before the processes are forked that use them."""

    def __init__(self, places: int) -> None:
        self._pipes = [os.pipe() for _ in range(places)]

    def meet(self, me: int, others: Sequence[int]) -> None:
        """Wait until all the others have come."""
        for other in others:
            os.write(self._pipes[other][1], b"!")
        missing = len(others)
        while missing:
            missing -= len(os.read(self._pipes[me][0], missing))

    def clear(self, place: int) -> None:
        """Take away what a killed process has left unread."""
        pipe = self._pipes[place][0]
        os.set_blocking(pipe, False)
        try:
            while os.read(pipe, 64):
                pass
        except BlockingIOError:
            pass
        finally:
            # Of the open file, which all processes share.
            os.set_blocking(pipe, True)
