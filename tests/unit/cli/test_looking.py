"""Looking at histories: what the documents hold, what the tables show, what a wrong name says."""

from __future__ import annotations

import pytest
from tests.unit.cli.builders import Writer, document, waiting_run

from cairn_runtime.model.ids import short_id

CHECKPOINT = [
    "id", "run", "workflow", "seq", "step", "visit", "item", "next", "kind", "bytes", "hash", "parent",
    "epoch", "createdAt",
]  # fmt: skip
RUN = [
    "run", "workflow", "thread", "phase", "epoch", "head", "origin", "reason", "traceId", "createdAt",
    "updatedAt",
]  # fmt: skip


def test_runs_are_documents_with_these_keys(cairn, url, waiting):
    """The shape of a run is stable from the first release."""
    said = cairn("runs", "--store", url, "-o", "json")

    [run] = said.document
    assert list(run) == RUN
    assert (said.code, said.err) == (0, "")
    assert (run["run"], run["workflow"], run["phase"], run["epoch"]) == (
        waiting.run_id,
        "digest",
        "Waiting",
        1,
    )
    assert run["head"] == {"seq": 7, "id": waiting.head_id}
    assert run["origin"] is None
    assert run["createdAt"].endswith("Z")


def test_checkpoints_are_documents_with_these_keys_newest_first(cairn, url, waiting):
    """The shape of a checkpoint is stable from the first release; each hangs on the next in the list."""
    rows = cairn("checkpoints", "digest", "--store", url, "-o", "json").document

    assert [list(row) for row in rows] == [CHECKPOINT] * 7
    assert [row["seq"] for row in rows] == [7, 6, 5, 4, 3, 2, 1]
    assert [row["parent"] for row in rows[:-1]] == [row["hash"] for row in rows[1:]]
    assert (rows[0]["step"], rows[0]["visit"], rows[0]["item"], rows[0]["next"]) == (
        "check",
        2,
        None,
        ["sign"],
    )
    assert (rows[5]["step"], rows[5]["item"]) == ("fetch", 1)
    assert rows[0]["id"] == waiting.head_id


def test_the_table_of_checkpoints_reads_from_the_newest(cairn, url, waiting):
    """Short ids, sizes and ages, in the order of the columns that the design names."""
    lines = cairn("checkpoints", "digest", "--store", url).out.splitlines()

    assert lines[0].split() == ["SEQ", "STEP", "NEXT", "SIZE", "ID", "AGE"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["7", "check#2", "sign"],
        ["6", "draft#2", "check"],
        ["5", "check#1", "draft"],
        ["4", "draft#1", "check"],
        ["3", "fetch#1[0]", "draft"],
        ["2", "fetch#1[1]", "fetch"],
        ["1", "(start)", "fetch"],
    ]
    assert lines[1].split()[-2] == short_id(waiting.head_id)


def test_without_a_name_the_checkpoints_of_all_runs_are_merged(cairn, url, write):
    """Newest first across runs, each with its Workflow and run."""
    write(waiting_run)
    other = write(lambda store: Writer.begin(store, document(name="other"), nonce="2"))

    rows = cairn("checkpoints", "--store", url, "-o", "json").document
    assert [row["createdAt"] for row in rows] == sorted((row["createdAt"] for row in rows), reverse=True)
    assert (rows[0]["run"], rows[0]["workflow"]) == (other.run.run_id, "other")
    assert len(rows) == 8


def test_a_long_table_says_that_there_is_more(cairn, url, waiting):
    """`--limit` cuts a list; programs get all of it unless they ask."""
    said = cairn("checkpoints", "digest", "--limit", "2", "--store", url)

    assert len(said.out.splitlines()) == 3
    assert said.err == "there are more; --limit 0 lists all\n"


def test_show_has_the_events(cairn, url, waiting):
    """A checkpoint in full: what was hashed, and what happened in it."""
    shown = cairn("show", "digest/7", "--store", url, "-o", "json").document

    assert list(shown) == [*CHECKPOINT, "metadata", "digest", "graphHash", "formatVersion", "events"]
    assert ["write", "score", "replace", 8, "check#2"] in shown["events"]
    lines = cairn("show", "digest/7", "--store", url).out.splitlines()
    assert "write   score replace 8 by check#2" in lines
    assert "done    check#2 → sign" in lines
    assert "parked  sign#1 approval Publish?" in lines


def test_the_state_is_the_channels(cairn, url, waiting):
    """Nothing is wrapped around the state, so that it can be piped on."""
    state = cairn("state", "digest", "--store", url, "-o", "json").document

    assert (state["score"], state["text"], state["pages"]) == (8, "second", ["page a", "page b"])


@pytest.mark.parametrize(
    ("at", "score", "text"),
    [("1", 0, None), ("start", 0, None), ("4", 0, "first"), ("5", 5, "first"), ("head", 8, "second")],
)
def test_the_state_can_be_seen_at_any_checkpoint(cairn, url, waiting, at, score, text):
    """A seq, the start, the head: the state as it was then."""
    state = cairn("state", "digest", "--at", at, "--store", url, "-o", "json").document

    assert (state["score"], state["text"]) == (score, text)


def test_a_difference_is_a_json_patch(cairn, url, waiting):
    """What changed between two checkpoints, for programs and for people."""
    patch = cairn("diff", "digest/4", "7", "--store", url, "-o", "json").document

    assert patch == [
        {"op": "replace", "path": "/score", "value": 8},
        {"op": "replace", "path": "/text", "value": "second"},
    ]
    lines = cairn("diff", "digest/4", "head", "--store", url).out.splitlines()
    assert lines == ["~ /score  0 → 8", '~ /text   "first" → "second"']


def test_equal_states_have_no_difference(cairn, url, waiting):
    """An empty patch, and words for people."""
    assert cairn("diff", "digest/4", "4", "--store", url, "-o", "json").document == []
    assert cairn("diff", "digest/4", "4", "--store", url).out == "(no difference)\n"


def test_a_document_can_be_yaml(cairn, url, waiting):
    """The same document in another coat."""
    said = cairn("state", "digest", "--store", url, "-o", "yaml")

    assert "score: 8\n" in said.out


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("state", "digets"), 'no Workflow and no run "digets" in this store; did you mean "digest"?'),
        (("checkpoints", "zzz"), 'no Workflow and no run "zzz" in this store; there is digest'),
        (("show", "digest/99"), "has no checkpoint 99"),
        (("show", "zzz"), 'no checkpoint "zzz" in this store; list them with: cairn checkpoints'),
        (("show", "digets/1"), 'did you mean "digest"?'),
        (("state", "digest", "--at", "99"), "has no checkpoint 99"),
        (("diff", "digest/1", "99"), "has no checkpoint 99"),
        (("runs", "digets"), 'did you mean "digest"?'),
        (("watch", "digets"), 'did you mean "digest"?'),
        (("verify", "digets"), 'did you mean "digest"?'),
        (("cancel", "digets"), 'did you mean "digest"?'),
        (("approve", "digets"), 'did you mean "digest"?'),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_name_that_is_not_there_says_what_may_be_meant(cairn, url, waiting, args, problem):
    """Exit code 4, on standard error for people, as a document for programs."""
    said = cairn(*args, "--store", url)

    assert (said.code, said.out) == (4, "")
    assert problem in said.err
    assert problem in cairn(*args, "--store", url, "-o", "json").document["error"]["message"]


def test_part_of_an_id_that_fits_several_names_them_all(cairn, url, waiting):
    """Checkpoints of one second begin alike: the person chooses."""
    said = cairn("show", waiting.head_id[:8], "--store", url)

    assert said.code == 2
    assert "fits several checkpoints; write more of one: " in said.err
    assert waiting.head_id in said.err


def test_the_last_characters_of_an_id_are_enough(cairn, url, waiting):
    """What the tables show can be typed back."""
    for text in (short_id(waiting.run_id), waiting.run_id, waiting.run_id[:6], "digest", "default/digest"):
        assert cairn("state", text, "--store", url, "-o", "json").document["score"] == 8
    assert cairn("show", short_id(waiting.head_id), "--store", url, "-o", "json").document["seq"] == 7


READERS = [
    ("runs",), ("checkpoints",), ("checkpoints", "a"), ("show", "a"), ("state", "a"), ("diff", "a", "b"),
    ("watch", "a"), ("verify",), ("cancel", "a"), ("approve", "a"), ("reject", "a", "--step", "b"),
    ("signal", "a", "b"), ("resume", "a", "--from", "head"),
]  # fmt: skip


@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_a_verb_that_finds_no_store_makes_none(cairn, tmp_path, args):
    """Exit code 4, what to do, and an untouched folder."""
    said = cairn(*args)

    assert said.code == 4
    assert said.err == "error: no runs yet in .cairn/cairn.db; start one with: cairn run FILE\n"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_has_no_runs_yet(cairn, url, write):
    """A store that is there and empty is no error."""

    async def nothing(store):
        return None

    write(nothing)

    said = cairn("runs", "--store", url)
    assert (said.code, said.out) == (0, "")
    assert "start one with: cairn run FILE" in said.err
    assert cairn("runs", "--store", url, "-o", "json").document == []
    assert cairn("checkpoints", "--store", url, "-o", "json").document == []


@pytest.mark.parametrize(
    ("store", "code", "problem"),
    [
        ("nonsense", 2, "not a store's URL"),
        ("postgresql://u:secret@h/d?scheme=a", 2, "?scheme=: unknown option"),
        ("sqlite:///x?color=red", 4, "no runs yet in x"),
        ("file:///no/such/folder", 4, "no runs yet in /no/such/folder"),
        ("sqlite:/x.db", 2, "three slashes begin a relative path, four an absolute one"),
        (f"sqlite:///{'x' * 300}/y.db", 78, "File name too long"),
    ],
)
def test_a_store_that_cannot_be_used_says_so(cairn, store, code, problem):
    """And no password is ever shown."""
    said = cairn("runs", "--store", store)

    assert said.code == code
    assert problem in said.err
    assert "secret" not in said.err


def test_the_store_can_come_from_the_environment(cairn, url, waiting, monkeypatch):
    """CAIRN_STORE_URL counts where --store is not given."""
    monkeypatch.setenv("CAIRN_STORE_URL", url)

    assert len(cairn("runs", "-o", "json").document) == 1


def test_watch_tells_a_finished_run_and_ends(cairn, url, write):
    """A line of JSON for each checkpoint, one for the end, and the exit code of the run."""

    async def failed(store):
        writer = await Writer.begin(store)
        await writer.item("fetch", 0)
        await writer.item("fetch", 1)
        await writer.fail("draft", "no words")

    write(failed)

    import json  # noqa: PLC0415 - lines, not one document

    said = cairn("watch", "digest", "--store", url, "-o", "json")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert [event["type"] for event in events] == ["checkpoint"] * 4 + ["run"]
    assert [event["seq"] for event in events[:-1]] == [1, 2, 3, 4]
    assert (events[-1]["phase"], said.code) == ("Failed", 1)
    since = cairn("watch", "digest", "--since", "head", "--store", url)
    assert len(since.out.splitlines()) == 2
    assert "Failed (StepFailed): no words" in since.out
