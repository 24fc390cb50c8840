"""What a doctor found, for people, for programs and for the shell."""

from __future__ import annotations

import pytest

from cairn_runtime.cli.findings import Finding, Level, exit_code, finding_lines, findings_document

OK = Finding(Level.OK, "the store answers")
WARNING = Finding(Level.WARNING, "it is slow: 80 ms", "look at its disk\nor take another one")
FAULT = Finding(Level.FAULT, "no such \x1b[31mSecret", "kubectl create secret ...")


def test_each_finding_is_told_with_what_mends_it():
    """In the order in which they were made; what moves a cursor is not passed on."""
    assert finding_lines([OK, WARNING, FAULT]) == [
        "ok       the store answers",
        "warning  it is slow: 80 ms",
        "         -> look at its disk",
        "         -> or take another one",
        "FAULT    no such \\u001b[31mSecret",
        "         -> kubectl create secret ...",
        "",
        "1 fault, 1 warning",
    ]


def test_a_document_has_the_same_facts():
    """Programs need not read the marks."""
    assert findings_document([OK, FAULT]) == {
        "healthy": False,
        "findings": [
            {"level": "ok", "what": OK.what, "mend": ""},
            {"level": "fault", "what": FAULT.what, "mend": FAULT.mend},
        ],
    }


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        ([], 0, "nothing is wrong"),
        ([OK], 0, "nothing is wrong"),
        ([OK, WARNING], 0, "1 warning"),
        ([WARNING, FAULT, FAULT], 1, "2 faults, 1 warning"),
    ],
)
def test_only_a_fault_fails(found, code, told):
    """What will hurt one day stops no script."""
    assert exit_code(found) == code
    assert finding_lines(found)[-1] == told
