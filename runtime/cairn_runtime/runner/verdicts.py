"""What an error means for the process and for the run: an exit code, and whether the run must stop.

Pure. Three kinds are told apart:

    the run cannot go on     its row becomes Failed with the reason, if the fence is held: exit 78 or 1
    this runner cannot       a key, a newer release, rights: the row is left alone, exit 78
    somebody else, or later  superseded: 75; the store does not answer, or refuses the password: 69

A fault of ours is none of these: it is a crash (70), counted by whoever watches.
"""

from __future__ import annotations

from typing import NamedTuple

from cairn_runtime.errors import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_STORE_UNAVAILABLE,
    EXIT_SUPERSEDED,
    CairnError,
    CheckpointCorrupted,
    CheckpointNotFound,
    CheckpointTooLarge,
    HistoryConflict,
    InvalidInput,
    ManifestInvalid,
    RunNotFound,
    StepError,
    StoreError,
    StoreLoginRefused,
)

EXIT_CRASHED = 70
"""Ours was the fault; also what the watchdog ends a process with."""

_STOPS_AT_START = (CheckpointCorrupted, CheckpointNotFound, ManifestInvalid, StepError, CheckpointTooLarge)
_STOPS_LATER = (StepError, CheckpointTooLarge, HistoryConflict, ManifestInvalid)


class Verdict(NamedTuple):
    """What to do about an error."""

    exit_code: int
    fails_run: bool


def verdict(error: CairnError, *, started: bool) -> Verdict:
    """Judge an error that ended an attempt, before its loop ran (`started` false) or while it did."""
    if isinstance(error, RunNotFound):
        # While it runs somebody deleted the run; at the start the id or the store is wrong.
        return Verdict(EXIT_SUPERSEDED if started else EXIT_CONFIG, fails_run=False)
    if isinstance(error, StoreLoginRefused):
        return Verdict(EXIT_STORE_UNAVAILABLE, fails_run=False)
    if started:
        return Verdict(
            error.exit_code if isinstance(error, StoreError) else EXIT_FAILED, isinstance(error, _STOPS_LATER)
        )
    if isinstance(error, _STOPS_AT_START):
        return Verdict(EXIT_CONFIG, fails_run=True)
    return Verdict(EXIT_CONFIG if isinstance(error, InvalidInput) else error.exit_code, fails_run=False)
