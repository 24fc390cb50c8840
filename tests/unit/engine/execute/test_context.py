from __future__ import annotations

import copy
import logging
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.unit.engine.execute.calls import Port, make_call

from cairn_runtime.engine.context import (
    Context,
    Park,
    State,
    SyncContext,
    idempotency_key,
    shared_channels,
)
from cairn_runtime.errors import WriteRefused

CHANNELS: dict[str, Any] = {"pages": [{"url": "a"}], "words": 3, "nothing": None}


def test_a_step_that_changes_what_it_read_changes_nothing_in_the_run() -> None:
    """Values are copied when they are first asked for."""
    channels = copy.deepcopy(CHANNELS)
    state: Any = State(channels)

    state["pages"][0]["url"] = "b"
    state["words"] = 4
    del state["nothing"]

    assert channels == CHANNELS


def test_a_step_sees_its_own_changes() -> None:
    """The view is a dict to the step: what it sets, changes and deletes is so for it."""
    state: Any = State(CHANNELS)

    state["pages"].append({"url": "b"})
    state["words"] = 4
    state["new"] = 1
    del state["nothing"]

    assert state.to_dict() == {"pages": [{"url": "a"}, {"url": "b"}], "words": 4, "new": 1}
    assert (len(state), list(state)) == (3, ["pages", "words", "new"])
    assert ("nothing" in state, "new" in state) == (False, True)


def test_a_value_is_copied_only_once() -> None:
    """Reading a channel twice gives the same object, so that nested changes are kept."""
    state = State(CHANNELS)

    assert state["pages"] is state["pages"]


def test_asking_whether_a_channel_exists_copies_nothing() -> None:
    """`in`, `len` and iteration look at names only."""
    state = State(CHANNELS)

    assert "pages" in state
    assert len(state) == 3
    assert state._own == {}


@pytest.mark.parametrize("name", ["absent", "nothing"], ids=["never there", "deleted before"])
def test_an_absent_channel_is_a_key_error(name: str) -> None:
    """The view behaves like a dict, also for `get` and `del`."""
    state = State(CHANNELS)
    state.pop("nothing")

    with pytest.raises(KeyError, match=name):
        state[name]
    with pytest.raises(KeyError, match=name):
        del state[name]
    assert state.get(name, 7) == 7


def test_a_channel_that_was_deleted_can_be_set_again() -> None:
    """It is back in the view, once."""
    state = State(CHANNELS)
    del state["words"]

    state["words"] = 9

    assert [name for name in state if name == "words"] == ["words"]
    assert state == {**CHANNELS, "words": 9}


def test_a_view_compares_prints_and_copies_like_a_dict() -> None:
    """`==`, `repr`, `copy` and `pickle` work, since user code does all of that."""
    state = State(CHANNELS)

    assert state == CHANNELS
    assert repr(State({"a": 1})) == "State({'a': 1})"
    assert copy.copy(state) == state
    assert copy.deepcopy(state) == state
    assert pickle.loads(pickle.dumps(state)) == state  # noqa: S301 - our own


def test_executors_get_the_channels_uncopied() -> None:
    """What only encodes the state must not pay for a copy of it."""
    state = State(CHANNELS)

    assert shared_channels(state) is CHANNELS


def test_the_idempotency_key_is_the_same_for_every_attempt_and_differs_between_tasks() -> None:
    """It depends on the run's key base and the task alone."""
    first, again = Context(make_call()), Context(make_call(attempt=2, run_id="fork"))

    assert first.idempotency_key == again.idempotency_key == idempotency_key("base", "draft#1")
    assert first.idempotency_key != idempotency_key("base", "draft#2")
    assert first.idempotency_key != idempotency_key("other", "draft#1")
    assert first.idempotency_key == "ce817532-24b8-560d-91cd-a1e6f164ee7f", "keys outlive releases"


@pytest.mark.parametrize("field", ["item", "signal"])
def test_item_and_signal_are_private_copies(field: str) -> None:
    """The engine's own value stays what it was; the step sees its own changes."""
    value = {"id": [1]}
    context = Context(make_call(**{field: value}))

    getattr(context, field)["id"].append(2)

    assert value == {"id": [1]}
    assert getattr(context, field) == {"id": [1, 2]}


async def test_an_async_checkpoint_reaches_the_port_with_its_key() -> None:
    """Writes and key are passed on as they are; no key is left to the engine to number."""
    port = Port()
    context = Context(make_call(port=port))

    await context.checkpoint({"a": 1}, key="one")
    await context.checkpoint({"a": 2})

    assert port.checkpoints == [({"a": 1}, "one"), ({"a": 2}, None)]


async def test_progress_is_what_was_saved_last() -> None:
    """`value` is the engine's first, then the step's; the saved value is not shared with the step."""
    port = Port()
    context = Context(make_call(port=port, progress={"done": 1}))
    before = context.progress.value
    value = {"done": 2}

    await context.progress.save(value)
    value["done"] = 3

    assert before == {"done": 1}
    assert context.progress.value == {"done": 2}
    assert port.saved == [{"done": 2}]


async def test_progress_that_is_not_json_is_refused_with_its_path() -> None:
    """Nothing is sent to the port."""
    port = Port()
    context = Context(make_call(port=port))

    with pytest.raises(WriteRefused, match=r"progress\.when: datetime is not JSON"):
        await context.progress.save({"when": datetime.now(UTC)})

    assert port.saved == []


def test_progress_cannot_be_set_without_saving() -> None:
    """`ctx.progress.value = x` would look as if it were kept."""
    context = Context(make_call())

    with pytest.raises(AttributeError):
        context.progress.value = 1  # type: ignore[misc]


class BlockingPort:
    """What stands behind a SyncContext, with nothing to block on."""

    def __init__(self) -> None:
        self.draining = True
        self.asked: list[object] = []

    def checkpoint(self, writes: object, key: str | None) -> None:
        self.asked.append((writes, key))

    def save_progress(self, value: object) -> None:
        self.asked.append(value)


def test_a_sync_context_has_the_same_names_with_calls_that_block() -> None:
    """checkpoint, progress.save, progress.value, draining."""
    port = BlockingPort()
    context = SyncContext(make_call(progress=1), port)

    context.checkpoint({"a": 1}, key="k")
    context.progress.save([2])

    assert port.asked == [({"a": 1}, "k"), [2]]
    assert context.progress.value == [2]
    assert context.draining is True


def test_the_last_goto_wins() -> None:
    """It returns normally, so a step may change its mind."""
    context = Context(make_call())

    context.goto("one")
    context.goto("two")

    assert context.next_step == "two"


def test_goto_takes_a_name_only() -> None:
    """Anything else is the step's mistake, told where it happens."""
    with pytest.raises(TypeError, match="a step's name, not list"):
        Context(make_call()).goto(["one"])


def test_every_line_of_the_step_log_carries_run_task_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """A step's own `extra` is kept beside them and cannot take their place."""
    caplog.set_level(logging.INFO, "cairn.step")

    Context(make_call(attempt=3)).log.info("fetched %s", "x", extra={"url": "u", "task": "forged"})

    (record,) = caplog.records
    fields = vars(record)
    assert record.getMessage() == "fetched x"
    assert [fields[name] for name in ("run_id", "task", "attempt", "url")] == ["run-1", "draft#1", 3, "u"]


def test_a_park_until_seconds_is_a_moment_from_now() -> None:
    """Seconds become an aware datetime when the step parks; the past is now."""
    before = datetime.now(UTC)

    later, past = Park(60.0), Park(-5)

    assert later.until is not None
    assert past.until is not None
    assert timedelta(seconds=59) < later.until - before < timedelta(seconds=120)
    assert timedelta(0) <= past.until - before < timedelta(seconds=59)


def test_a_park_until_a_datetime_is_kept_in_utc() -> None:
    """The zone does not matter, but there must be one."""
    east = timezone(timedelta(hours=2))

    park = Park(datetime(2026, 1, 1, 12, tzinfo=east), signal="paid", message="waits for money")

    assert (park.until, park.signal, str(park)) == (
        datetime(2026, 1, 1, 10, tzinfo=UTC),
        "paid",
        "waits for money",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({}, "needs until=, signal= or both", id="nothing could wake it"),
        pytest.param({"until": datetime(2026, 1, 1)}, "time zone", id="a datetime without a zone"),  # noqa: DTZ001
        pytest.param({"until": float("nan")}, "within ten years", id="not a number"),
        pytest.param({"until": 1e12}, "within ten years", id="a million years"),
        pytest.param({"signal": "no spaces"}, "not a signal's name", id="a name no signal can have"),
        pytest.param({"signal": ""}, "not a signal's name", id="an empty name"),
    ],
)
def test_a_park_that_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    """The step fails with a ValueError in place of waiting for ever."""
    with pytest.raises(ValueError, match=message):
        Park(**arguments)
