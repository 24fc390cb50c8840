"""The planner's tables: what follows when a task ends, step kind by step kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.engine.builders import NOW, finish, ready, started

from cairn_runtime.engine.apply import apply
from cairn_runtime.engine.forks import fork
from cairn_runtime.engine.frontier import RunState
from cairn_runtime.errors import ConflictingWrites, ManifestInvalid, StepError, StepFailed, WriteRefused
from cairn_runtime.store.base import Origin

DIAMOND: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "slow", "needs": ["a"]},
    {"name": "fast", "needs": ["a"]},
    {"name": "after-fast", "needs": ["fast"]},
    {"name": "join", "needs": ["slow", "after-fast"]},
]


def channels(**reducers: str) -> dict[str, Any]:
    return {"channels": {name: {"reducer": reducer} for name, reducer in reducers.items()}}


def test_a_fast_branch_does_not_wait_for_a_slow_one() -> None:
    """Only what can still lead to a step holds it back."""
    planner = started(DIAMOND)
    finish(planner, "a")

    assert finish(planner, "fast") == ["slow", "after-fast"]
    assert finish(planner, "after-fast") == ["slow"]
    assert finish(planner, "slow") == ["join"]


def test_a_join_of_any_runs_once_per_token() -> None:
    """Tokens that come while it runs give its next visits, one at a time."""
    planner = started([{"name": "a"}, {"name": "b"}, {"name": "each", "needs": ["a", "b"], "join": "any"}])

    assert finish(planner, "a") == ["b", "each"]
    assert finish(planner, "b") == ["each"]
    assert finish(planner, "each") == ["each"]
    assert finish(planner, "each") == []
    assert planner.state.ended["each"] == 2


def test_a_loop_goes_round_until_its_condition_ends_it() -> None:
    """Conditional edges are asked after the step's own writes."""
    planner = started(
        [
            {"name": "draft"},
            {
                "name": "check",
                "needs": ["draft"],
                "next": [
                    {"to": "draft", "when": "state.score < 7 && visits.draft < 4"},
                    {"to": "send", "otherwise": True},
                ],
            },
            {"name": "send"},
        ],
        state=channels(score="replace"),
    )
    finish(planner, "draft")

    assert finish(planner, "check", {"score": 3}) == ["draft"]
    finish(planner, "draft")
    assert finish(planner, "check", {"score": 8}) == ["send"]
    assert planner.state.visits == {"draft": 2, "check": 2, "send": 1}


REVIEW: list[dict[str, Any]] = [
    {"name": "fetch"},
    {"name": "count", "needs": ["fetch"]},
    {"name": "draft", "needs": ["fetch"]},
    {"name": "polish", "needs": ["draft"]},
    {"name": "check", "needs": ["polish", "count"], "next": [{"to": "draft", "when": "visits.draft < 2"}]},
]


def test_the_first_pass_of_a_loop_does_not_wait_for_who_joins_it_late() -> None:
    """A slow step that only one member needs holds back that member, not the head nor the other members."""
    planner = started(REVIEW)

    assert finish(planner, "fetch") == ["count", "draft"]
    assert finish(planner, "draft") == ["count", "polish"]
    assert finish(planner, "polish") == ["count"]
    assert finish(planner, "count") == ["check"]
    assert finish(planner, "check") == ["draft"]


def test_the_head_of_a_loop_goes_before_a_member_that_was_reached_from_outside() -> None:
    """Whatever the order in which their tokens came, check does not run before the draft that it needs."""
    planner = started(REVIEW)
    finish(planner, "fetch")

    assert finish(planner, "count") == ["draft"]
    assert finish(planner, "draft") == ["polish"]
    assert finish(planner, "polish") == ["check"]


def test_a_step_that_hangs_on_a_loop_runs_once_after_it() -> None:
    """Its token waits as long as the loop is under way."""
    planner = started(
        [
            {"name": "work"},
            {"name": "check", "needs": ["work"], "next": [{"to": "work", "when": "visits.check < 3"}]},
            {"name": "report", "needs": ["work"]},
        ]
    )

    for _ in range(2):
        finish(planner, "work")
        assert finish(planner, "check") == ["work"]
    finish(planner, "work")
    assert finish(planner, "check") == ["report"]


def test_a_skipped_step_counts_as_done_and_gives_no_token_to_an_any_step() -> None:
    """Its edges fire, but not into a step that runs once per token."""
    planner = started(
        [
            {"name": "a", "when": "false"},
            {"name": "then", "needs": ["a"]},
            {"name": "each", "needs": ["a"], "join": "any"},
        ]
    )

    assert ready(planner) == ["then"]
    assert planner.state.ended == {"a": 1}
    assert planner.state.visits == {"a": 1, "then": 1}


def test_goto_takes_the_place_of_next_and_needs_still_fire() -> None:
    """An undeclared target fails the task."""
    steps = [
        {"name": "a", "goto": ["c"], "next": [{"to": "b"}]},
        {"name": "b"},
        {"name": "c"},
        {"name": "d", "needs": ["a"]},
    ]
    planner = started(steps)

    assert finish(planner, "a", goto="c") == ["c", "d"]
    with pytest.raises(StepFailed, match=r'ctx.goto\("b"\): spec.steps\[0\].goto does not name it'):
        finish(started(steps), "a", goto="b")


def test_a_caught_failure_goes_to_the_channel_error() -> None:
    """The run goes on at the catching step; edges of the failed one do not fire."""
    planner = started([{"name": "a", "catch": "mend"}, {"name": "b", "needs": ["a"]}, {"name": "mend"}])
    planner.fail("a", None, StepFailed("boom", error="ValueError"))
    planner.advance(NOW)

    assert ready(planner) == ["mend"]
    assert planner.state.channels["error"] == {
        "step": "a",
        "error": "ValueError",
        "message": "boom",
        "attempts": 1,
    }
    assert planner.state.failure is None


def test_after_a_failure_nothing_new_starts_and_what_runs_still_counts() -> None:
    """Running tasks commit; their edges fire, and wait for a resume."""
    planner = started([{"name": "a"}, {"name": "b"}, {"name": "c", "needs": ["b"]}])
    planner.fail("a", None, StepFailed("boom"))

    assert finish(planner, "b") == ["a"]
    assert planner.state.tokens == {"c": ["b"]}
    assert planner.state.failure is not None
    assert planner.state.failure["task"] == "a#1"


def test_max_visits_ends_a_run_with_a_reason() -> None:
    """A loop without an end does not run for ever."""
    planner = started([{"name": "a", "next": [{"to": "a"}], "maxVisits": 2}])
    finish(planner, "a")
    finish(planner, "a")

    assert planner.state.failure is not None
    assert planner.state.failure["reason"] == "VisitsExhausted"


# -- foreach ----------------------------------------------


def foreach(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "each", "foreach": {"in": "input.list", **more}}, {"name": "end", "needs": ["each"]}]


def test_results_of_a_foreach_are_collected_in_item_order() -> None:
    """Whatever the order of completion."""
    planner = started(foreach(collect="all"), input={"list": [10, 20, 30]})
    for item in (2, 0, 1):
        planner.finish_item("each", item, item * 100)
    planner.advance(NOW)

    assert planner.state.channels["all"] == [0, 100, 200]
    assert ready(planner) == ["end"]


def test_an_empty_list_is_done_at_once() -> None:
    """And collects an empty list."""
    planner = started(foreach(collect="all"), input={"list": []})

    assert planner.state.channels["all"] == []
    assert ready(planner) == ["end"]


def test_items_whose_condition_is_false_leave_no_result() -> None:
    """A `when` that names `item` is asked for each of them."""
    steps = foreach(collect="all")
    steps[0]["when"] = "item > 15"
    planner = started(steps, input={"list": [10, 20, 30]})

    assert list(planner.state.groups["each"].pending()) == [1, 2]
    planner.finish_item("each", 1, "b")
    planner.finish_item("each", 2, "c")
    assert planner.state.channels["all"] == ["b", "c"]


def test_the_first_item_that_fails_for_good_fails_the_step() -> None:
    """With catch the step is given up once nothing of it runs."""
    steps = foreach()
    steps[0]["catch"] = "end"
    planner = started(steps, input={"list": [1, 2, 3]})
    planner.fail("each", 1, StepFailed("boom"))
    assert planner.state.failure is None
    planner.give_up_group("each")
    planner.advance(NOW)

    assert ready(planner) == ["end"]
    assert planner.state.channels["error"]["step"] == "each"  # type: ignore[call-overload]


def test_a_list_that_is_none_fails_the_step() -> None:
    """With the field's path."""
    planner = started(foreach(), input={"list": 5})

    assert planner.state.failure is not None
    assert str(planner.state.failure["message"]).startswith("spec.steps[0].foreach.in: ")


# -- writes ----------------------------------------------


def test_two_tasks_that_replace_one_channel_unseen_conflict() -> None:
    """The second one fails, and says which two tasks met."""
    planner = started([{"name": "a"}, {"name": "b"}], state=channels(x="replace"))
    finish(planner, "a", {"x": 1})

    with pytest.raises(ConflictingWrites, match="b#1 and a#1 both replaced channel x"):
        finish(planner, "b", {"x": 2})


@pytest.mark.parametrize("reducer", ["last", "add", "max", "append"])
def test_only_replace_conflicts(reducer: str) -> None:
    """Every other reducer folds both writes."""
    planner = started([{"name": "a"}, {"name": "b"}], state=channels(x=reducer))
    finish(planner, "a", {"x": 1})

    assert finish(planner, "b", {"x": 2}) == []


def test_a_write_that_was_seen_is_no_conflict() -> None:
    """A task that became ready after the change may replace it."""
    planner = started([{"name": "a"}, {"name": "b", "needs": ["a"]}], state=channels(x="replace"))
    finish(planner, "a", {"x": 1})

    assert finish(planner, "b", {"x": 2}) == []
    assert planner.state.channels["x"] == 2


def test_own_mid_step_writes_never_conflict() -> None:
    """A task may replace what it has written itself."""
    planner = started([{"name": "a"}], state=channels(x="replace"))
    planner.checkpoint("a", None, {"x": 1}, "half")

    assert finish(planner, "a", {"x": 2}) == []
    assert planner.state.channels["x"] == 2


def test_a_conflict_is_seen_by_a_restarted_run_too() -> None:
    """What a task has not seen is kept in the frontier, so a restart changes nothing."""
    planner = started([{"name": "a"}, {"name": "b"}], state=channels(x="replace"))
    finish(planner, "a", {"x": 1})
    planner.state = RunState.from_json(planner.state.to_json())

    with pytest.raises(ConflictingWrites):
        finish(planner, "b", {"x": 2})


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        pytest.param({"y": 1}, 'channel "y" is not declared', id="an undeclared channel"),
        pytest.param({"x": {1, 2}}, "x: set is not JSON", id="a value that is not JSON"),
        pytest.param({"x": float("nan")}, "x: nan is not a JSON number", id="a number that is none"),
        pytest.param({"x": [{"when": object()}]}, r"x\[0\].when: object is not JSON", id="deep inside"),
        pytest.param(
            {"x": ["ok", "\ud800"]},
            r"x\[1\]: character 0 of the text is half",
            id="text that nothing encodes",
        ),
        pytest.param([1], "a step returns a dict of writes or None", id="no dict"),
    ],
)
def test_a_refused_write_changes_nothing(returned: object, problem: str) -> None:
    """It names the path and leaves state and frontier as they were."""
    planner = started([{"name": "a"}], state=channels(x="replace"))
    before = planner.state.to_json()

    with pytest.raises(WriteRefused, match=problem):
        finish(planner, "a", returned)
    assert planner.state.to_json() == before


def test_what_a_step_keeps_of_its_return_value_does_not_reach_the_state() -> None:
    """Values are copied on their way in."""
    planner = started([{"name": "a"}], state=channels(x="replace"))
    kept = {"list": [1]}
    finish(planner, "a", {"x": kept})
    kept["list"].append(2)

    assert planner.state.channels["x"] == {"list": [1]}


# -- folding and forks ----------------------------------------------


def test_folding_the_events_gives_the_live_state() -> None:
    """Whatever the run did, through JSON too."""
    planner = started(DIAMOND, state=channels(x="add"), input={"k": [1]})
    for step in ("a", "fast", "after-fast"):
        finish(planner, step, {"x": 1})
    folded = RunState()
    for event in planner.events:
        apply(folded, event)

    assert folded.to_json() == planner.state.to_json()
    assert RunState.from_json(folded.to_json()).to_json() == folded.to_json()


def origin(**change: Any) -> Origin:
    return Origin("run", 1, "id", **change)


@pytest.mark.parametrize(
    ("change", "next_", "x"),
    [
        pytest.param({}, ["slow", "after-fast"], 1, id="nothing changed: it goes on where it was"),
        pytest.param({"state_patch": {"x": 5}}, ["slow", "after-fast"], 5, id="a patch sets channels"),
        pytest.param({"steps": ("a",)}, ["a"], 1, id="other steps replace the frontier"),
        pytest.param({"skip": ("slow",)}, ["after-fast"], 1, id="an open step counts as done"),
        pytest.param(
            {"as_step": "slow", "state_patch": {"x": 9}}, ["after-fast"], 9, id="the patch as a step's writes"
        ),
        pytest.param({"as_step": "fast"}, ["slow", "after-fast"], 1, id="as a step that is not under way"),
    ],
)
def test_a_fork_starts_where_it_was_asked_to(change: dict[str, Any], next_: list[str], x: int) -> None:
    """From one state, each way to change it."""
    planner = started(DIAMOND, state=channels(x="add"))
    finish(planner, "a", {"x": 1})
    finish(planner, "fast")

    state = fork(planner.workflow, planner.state, origin(**change), NOW)

    assert sorted(state.tasks) == sorted(next_)
    assert state.channels["x"] == x


def test_a_fork_as_a_step_drops_what_is_under_way_behind_it() -> None:
    """Else an answer to the old question would count for the new text."""
    steps = [
        {"name": "draft"},
        {"name": "sign", "approval": {}, "needs": ["draft"]},
        {"name": "other"},
        {"name": "send", "needs": ["sign", "other"]},
    ]
    planner = started(steps, state=channels(text="replace"))
    finish(planner, "draft")
    asked = origin(as_step="draft", state_patch={"text": "better"})

    state = fork(planner.workflow, planner.state, asked, NOW)

    assert {task.key for task in state.tasks.values()} == {"other#1", "sign#2"}
    assert list(state.waiting) == ["sign#2"]
    assert state.channels["text"] == "better"


def test_a_fork_of_a_failed_run_runs_only_what_was_not_done() -> None:
    """The failed task is ready again, its tries counted anew."""
    planner = started(DIAMOND)
    finish(planner, "a")
    finish(planner, "fast")
    planner.record(["tried", "slow", 1, None, "ValueError", "no"])
    planner.fail("slow", None, StepFailed("boom"))
    finish(planner, "after-fast")

    state = fork(planner.workflow, planner.state, origin(), NOW)

    assert list(state.tasks) == ["slow"]
    assert state.tasks["slow"].failures == 0
    assert state.failure is None


def test_skip_lets_a_later_step_count_as_done_once() -> None:
    """Where the step is not under way, its next visit is skipped."""
    planner = started([{"name": "a"}, {"name": "b", "needs": ["a"]}, {"name": "c", "needs": ["b"]}])
    planner.state = fork(planner.workflow, planner.state, origin(skip=("b",)), NOW)

    assert finish(planner, "a") == ["c"]
    assert planner.state.skip_once == []


def test_a_fork_with_a_manifest_that_lost_a_step_says_so() -> None:
    """Instead of losing the task."""
    planner = started([{"name": "a"}])
    other = started([{"name": "b"}])

    with pytest.raises(ManifestInvalid, match='the checkpoint goes on with "a"'):
        fork(other.workflow, planner.state, origin(), NOW)


def test_a_patch_that_does_not_fit_is_named() -> None:
    """With the path of the field of the resume."""
    planner = started([{"name": "a"}])

    with pytest.raises(ManifestInvalid, match=r'spec\.resume\.statePatch\.y: channel "y" is not declared'):
        fork(planner.workflow, planner.state, origin(state_patch={"y": 1}), NOW)


# -- waits ----------------------------------------------


@pytest.mark.parametrize(
    ("step", "kind", "name"),
    [
        pytest.param(
            {"approval": {"message": "Publish?"}}, "approval", "w#1", id="an approval is named by its task"
        ),
        pytest.param({"signal": {"name": "paid"}}, "signal", "paid", id="a signal by its name"),
        pytest.param({"sleep": "30s"}, "sleep", "", id="a sleep by nothing"),
    ],
)
def test_a_waiting_step_parks_as_soon_as_it_is_entered(step: dict[str, Any], kind: str, name: str) -> None:
    """No runner is needed while it waits."""
    planner = started([{"name": "w", **step}, {"name": "b", "needs": ["w"]}])
    wait = planner.state.tasks["w"].wait

    assert wait is not None
    assert (wait.kind, wait.name) == (kind, name)
    assert wait.until == (NOW + timedelta(seconds=30) if kind == "sleep" else None)
    planner.wake(planner.state.tasks["w"], {"approved": True})
    planner.advance(NOW)
    assert ready(planner) == ["b"]


def test_a_fault_in_an_edge_records_nothing() -> None:
    """The task fails as if it had not written, so that its effect happens once when it runs again."""
    planner = started(
        [{"name": "a", "next": [{"to": "a", "when": "state.x.deep > 1"}]}], state=channels(x="replace")
    )
    before = planner.state.to_json()

    with pytest.raises(StepError):
        finish(planner, "a", {"x": 1})
    assert planner.state.to_json() == before
