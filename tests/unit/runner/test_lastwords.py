"""The last word of a runner process."""

from __future__ import annotations

import json

from cairn_runtime.runner.lastwords import LastWord, leave_message


def test_the_last_word_is_one_json_object(tmp_path):
    """Kubernetes shows the file; a program can read it."""
    path = tmp_path / "word"

    leave_message(path, LastWord("r-1", 7, "Failed", "StepFailed", "no", 3, "id-3"))

    assert json.loads(path.read_bytes()) == {
        "run": "r-1",
        "epoch": 7,
        "phase": "Failed",
        "reason": "StepFailed",
        "message": "no",
        "head": {"seq": 3, "id": "id-3"},
    }


def test_a_long_message_still_leaves_a_whole_object(tmp_path):
    """Kubernetes cuts off after 4,096 bytes, and half an object is none."""
    path = tmp_path / "word"

    leave_message(path, LastWord("r-1", 7, "Failed", "StepFailed", "\u20ac" * 5000))

    assert len(path.read_bytes()) <= 4096
    assert json.loads(path.read_bytes())["message"].startswith("\u20ac" * 100)


def test_a_place_that_cannot_be_written_changes_nothing(tmp_path, caplog):
    """The last word is a courtesy: where it fails, that is logged and nothing else."""
    leave_message(tmp_path / "no" / "folder", LastWord("r-1", 7, "Succeeded"))

    assert caplog.messages == ["termination message was not written"]
