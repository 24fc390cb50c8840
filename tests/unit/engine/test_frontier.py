"""What the state of a run tells in words."""

from __future__ import annotations

import pytest

from cairn_runtime.engine.frontier import failure_text
from cairn_runtime.model.values import JSONObject

FAILURE: JSONObject = {"task": "draft#2", "attempts": 1, "error": "KeyError", "message": "'TOKEN'"}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "draft#2 failed: KeyError: 'TOKEN'"),
        ({"attempts": 4}, "draft#2 failed after 4 attempts: KeyError: 'TOKEN'"),
        ({"task": "each#1[7]"}, "each#1[7] failed: KeyError: 'TOKEN'"),
        ({"task": "", "error": "RunTimeout", "message": "it took too long"}, "it took too long"),
    ],
    ids=["once", "several attempts", "an item", "the run as a whole"],
)
def test_a_failure_is_told_with_its_task_and_its_error(changed, text):
    """The text of an exception alone says little: that of a KeyError is a key."""
    assert failure_text({**FAILURE, **changed}) == text
