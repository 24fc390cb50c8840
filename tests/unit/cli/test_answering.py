"""Answers: to the wait that is open, in the shape that it asks for, once."""

from __future__ import annotations

import pytest
from tests.unit.cli.builders import Writer, document, waiting_run

SIGNED = [
    {"name": "sign", "approval": {"schema": {"type": "object", "required": ["copies"]}}},
    {"name": "paid", "signal": {"name": "paid", "schema": {"type": "number"}}},
]


@pytest.mark.parametrize(
    ("verb", "approved"), [("approve", True), ("reject", False)], ids=["approve says yes", "reject says no"]
)
@pytest.mark.parametrize(
    "step", [("--step", "sign"), ("--step", "sign#1"), ()], ids=["by step", "by task", "the only one"]
)
def test_an_answer_is_stored_for_the_wait_that_is_open(cairn, url, waiting, write, verb, approved, step):
    """Who answered and when stands with it; the wait it is for is named."""
    said = cairn(verb, "digest", *step, "--value", '{"copies": 2}', "--store", url, "-o", "json")

    [signal] = write(lambda store: store.signals(waiting.run_id))
    assert said.code == 0
    assert (signal.wait, signal.value["approved"], signal.value["value"]) == (
        "sign#1",
        approved,
        {"copies": 2},
    )
    assert signal.value["at"].endswith("Z")
    assert said.document == {
        "run": waiting.run_id,
        "workflow": "digest",
        "name": "sign#1",
        "number": 1,
        "value": signal.value,
        "createdAt": said.document["createdAt"],
        "task": "sign#1",
        "approved": approved,
    }


def test_an_answer_tells_how_the_run_goes_on(cairn, url, waiting, monkeypatch):
    """Nobody runs it now, so the person must; a store that was named must be named again."""
    said = cairn("approve", "digest", "--store", url)
    assert said.out == f"approved sign#1 of digest\ngo on with: cairn run FILE --store {url}\n"

    monkeypatch.setenv("CAIRN_STORE_URL", url)
    assert cairn("signal", "digest", "paid").out.endswith("go on with: cairn run FILE\n")


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        (("--step", "sgin"), 1, 'waits for no approval at "sgin"; did you mean "sign"?'),
        (("--step", "fetch"), 1, 'waits for no approval at "fetch"; it waits at sign'),
        (("--step", "sign", "--value", "{"), 2, "--value: not JSON at line 1, column 2"),
    ],
)
def test_a_wrong_answer_is_refused(cairn, url, waiting, args, code, problem):
    """Nothing is stored, and the person learns what would be right."""
    said = cairn("approve", "digest", *args, "--store", url)

    assert (said.code, said.out) == (code, "")
    assert problem in said.err


def test_a_second_answer_is_refused(cairn, url, waiting):
    """The first one counts, also when both said the same."""
    assert cairn("approve", "digest", "--store", url).code == 0

    said = cairn("reject", "digest", "--store", url, "-o", "json")
    assert (said.code, said.document["error"]["reason"]) == (1, "WaitClosed")


def test_a_run_that_waits_for_nobody_cannot_be_answered(cairn, url, write):
    """It is under way, and the message says so."""
    write(Writer.begin)

    said = cairn("approve", "digest", "--step", "sign", "--store", url)
    assert said.code == 1
    assert "waits for no approval; it is Running" in said.err


def test_a_value_must_be_what_the_wait_asks_for(cairn, url, write):
    """The schema is checked before anything is stored; the fault names what was typed."""
    write(lambda store: Writer.begin(store, document(SIGNED)))

    refused = cairn("approve", "digest", "--value", "{}", "--store", url, "-o", "json")
    without = cairn("approve", "digest", "--store", url)
    signal = cairn("signal", "digest", "paid", '"much"', "--store", url, "-o", "json")
    assert (without.code, without.err) == (2, 'error: --value: the value is not of type "object"\n')
    assert (refused.code, refused.document["error"]["faults"][0]["path"]) == (2, "--value")
    assert (signal.code, signal.document["error"]["faults"][0]["path"]) == (2, "JSON")
    assert cairn("approve", "digest", "--value", '{"copies": 1}', "--store", url).code == 0
    assert cairn("signal", "digest", "paid", "12.5", "--store", url).code == 0


def test_several_open_approvals_must_be_told_apart(cairn, url, write):
    """The person is shown the names."""
    both = [{"name": "a", "approval": {}}, {"name": "b", "approval": {}}]
    write(lambda store: Writer.begin(store, document(both)))

    said = cairn("approve", "digest", "--store", url)
    assert said.code == 2
    assert said.err == "error: --step: several approvals wait; name one: a#1, b#1\n"
    assert cairn("approve", "digest", "--step", "b", "--store", url).code == 0


def test_a_signal_is_kept_until_it_is_waited_for(cairn, url, waiting, write):
    """Named signals queue in order; the value is null where none is given."""
    first = cairn("signal", "digest", "paid", "--store", url)
    cairn("signal", "digest", "paid", '{"amount": 12}', "--store", url)

    assert "nothing waits for it now, it is kept" in first.out
    assert [signal.value for signal in write(lambda store: store.signals(waiting.run_id))] == [
        None,
        {"amount": 12},
    ]


def test_a_finished_run_takes_no_signal(cairn, url, write):
    """It would wait for ever."""

    async def failed(store):
        writer = await Writer.begin(store)
        await writer.item("fetch", 0)
        await writer.item("fetch", 1)
        await writer.fail("draft", "no")

    write(failed)

    said = cairn("signal", "digest", "paid", "1", "--store", url)
    assert (said.code, said.out) == (1, "")


def test_cancel_ends_a_run_and_leaves_a_finished_one_alone(cairn, url, write):
    """Its history stays; a second cancel changes nothing."""
    write(waiting_run)

    assert cairn("cancel", "digest", "--store", url).out.startswith("cancelled digest, run ")
    again = cairn("cancel", "digest", "--store", url)
    assert (again.code, again.out.endswith("is Cancelled already\n")) == (0, True)
    assert cairn("runs", "--store", url, "-o", "json").document[0]["phase"] == "Cancelled"
    assert len(cairn("checkpoints", "digest", "--store", url, "-o", "json").document) == 7
