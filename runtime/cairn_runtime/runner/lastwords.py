"""The last word of a runner process: why it ended, as one JSON object, for whoever looks at the process.

It goes to the termination message (what Kubernetes shows of a dead container), to the log, and to the
supervisor.
It says nothing that the store does not know better, and it holds no state values.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import orjson

from cairn_runtime.model.values import JSONObject

log = logging.getLogger("cairn.runner")

MAX_MESSAGE = 2000
"""Characters; Kubernetes keeps 4,096 bytes of a termination message."""
MAX_BYTES = 4096


class LastWord(NamedTuple):
    """Why a runner process ended."""

    run: str
    epoch: int
    phase: str
    """Phase of the run as this process left it; empty where it does not know."""
    reason: str = ""
    message: str = ""
    head_seq: int = 0
    head_id: str = ""

    def to_json(self) -> JSONObject:
        """The object, with a message of bounded length."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "phase": self.phase,
            "reason": self.reason,
            "message": self.message[:MAX_MESSAGE],
            "head": {"seq": self.head_seq, "id": self.head_id},
        }


def leave_message(path: Path | None, word: LastWord) -> None:
    """Write the last word to the termination message; failing at that changes nothing."""
    if path is None:
        return
    text = orjson.dumps(word.to_json())
    if len(text) > MAX_BYTES:
        text = orjson.dumps(word._replace(message=word.message[: MAX_MESSAGE // 4]).to_json())
    try:
        path.write_bytes(text)
    except OSError as error:
        log.warning("termination message was not written", extra={"error": str(error)})
