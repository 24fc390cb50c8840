"""Steps: what a unit of work is, what it waits for, where it leads, and what happens when it fails.

Imported by other rooms from `workflow`.
"""

from typing import Annotated, Literal

from pydantic import Field

from cairn_runtime.model.durations import Duration, PositiveDuration
from cairn_runtime.model.fields import (
    ChannelName,
    ErrorName,
    Expression,
    FunctionRef,
    JSONValue,
    Model,
    StepName,
    Tags,
    Text,
)


class Retry(Model):
    """What happens when a task fails.

    A step's `retry` stands in place of the Workflow's as a whole.
    What can never end differently is not tried again, whatever is written here: code that cannot be loaded, a
    failed expression, conflicting writes, a missed deadline, used-up visits.
    A refused write is tried again only where `errors` names WriteRefused.
    """

    policy: Literal["Exponential", "Fixed", "Adaptive", "Emergency"] = Field(
        default="Exponential",
        description="How the delay between tries grows. `Exponential`: by `multiplier` each time."
        " `Fixed`: not at all. `Adaptive`: by `multiplier` for each failure of the step in a row from the"
        " third on;"
        " a success resets it. `Emergency`: one short last try, ended after at most 5s.",
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Tries after the first; 0 never tries again. Null: 3 (Fixed: 5, Emergency: 1).",
    )
    base_delay: Duration | None = Field(
        default=None, description="Delay before the second try. Null: 100ms (Fixed: 1s)."
    )
    max_delay: PositiveDuration | None = Field(
        default=None,
        description="Longest delay between two tries; with Emergency the time that the last try gets, at"
        " most 5s."
        " Null: 30s (Emergency: 5s).",
    )
    multiplier: float | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Factor by which the delay grows; Fixed and Emergency do not use it. Null: 2.0"
        " (Adaptive: 1.5).",
    )
    errors: list[ErrorName] | None = Field(
        default=None,
        max_length=64,
        description="Class names of the errors that are tried again; a name stands for its subclasses too."
        " Shell steps fail with StepFailed, overrun ones with StepTimeout. Null: all that can be tried"
        " again.",
    )
    not_errors: list[ErrorName] = Field(
        default=[],
        max_length=64,
        description="Class names of the errors that are never tried again; it wins over `errors`.",
    )


class Foreach(Model):
    """One task for each item of a list."""

    in_: Expression = Field(
        alias="in",
        description="CEL expression that gives the list, e.g. `state.urls`."
        " It is evaluated once, when the step is entered, and the list is kept.",
    )
    parallelism: int = Field(
        default=10, ge=1, le=10000, description="How many items are under way at the same time, at most."
    )
    collect: ChannelName | None = Field(
        default=None,
        description="Channel that gets the items' return values as a list in item order, when all items are"
        " done."
        " Null: what an item returns is its writes, as in any other step.",
    )


class Next(Model):
    """A conditional edge to another step."""

    to: StepName = Field(description="The step that gets a token when this entry fires.")
    when: Expression | None = Field(
        default=None,
        description="CEL condition over `state`, `visits` and `input`, asked when the step is done."
        " Null: the entry always fires (with `otherwise`: if no other entry did).",
    )
    otherwise: bool = Field(
        default=False, description="Whether this entry fires exactly when no other one does; at most one may."
    )


class Approval(Model):
    """A wait for a person, which holds no pod.

    The answer, an object `{approved: true or false, value: ...}`, is written to the channel that is named
    like the step.
    """

    message: Text = Field(default="", description="What the person is asked; shown in the object's status.")
    schema_: JSONValue = Field(
        default=None,
        alias="schema",
        description="JSON Schema for the `value` of the answer; an answer that does not fit is refused."
        " A yes without a value counts as null, a no needs none."
        " Null: any value, or none.",
    )
    deadline: PositiveDuration | None = Field(
        default=None,
        description="How long to wait; then the step fails with DeadlinePassed. Null: for ever.",
    )


class Signal(Model):
    """A wait for a named signal, which holds no pod.

    The signal's value is written to the channel named like the step.
    """

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$",
        description="Name of the signal. Signals of one name queue, and each is used once, in the order they"
        " came.",
    )
    schema_: JSONValue = Field(
        default=None,
        alias="schema",
        description="JSON Schema for the signal's value; a signal that does not fit is refused. Null: any"
        " value.",
    )
    deadline: PositiveDuration | None = Field(
        default=None,
        description="How long to wait; then the step fails with DeadlinePassed. Null: for ever.",
    )


class Step(Model):
    """A unit of work: exactly one of `python`, `run`, `argv`, `approval`, `signal`, `sleep`."""

    name: StepName = Field(
        description="Name of the step, unique in the Workflow; tasks, answers and visits are named after it."
    )
    python: FunctionRef | None = Field(
        default=None,
        description="`module:function` to call, sync or async. It gets the state as a dict, and a `Context`"
        " if it has"
        " a second parameter; it returns a dict of writes or None, in a foreach with `collect` the item's"
        " result.",
    )
    run: str | None = Field(
        default=None,
        min_length=1,
        max_length=65536,
        description="Shell command for `/bin/sh -c`. The state is in the file `$CAIRN_STATE`; writes go as"
        " one JSON"
        " object to the file `$CAIRN_OUTPUT`; standard output goes to the log.",
    )
    argv: list[Annotated[str, Field(max_length=65536)]] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Program and its arguments, without a shell; state and writes as with `run`.",
    )
    approval: Approval | None = Field(default=None, description="Waits for a person's answer.")
    signal: Signal | None = Field(default=None, description="Waits for a named signal.")
    sleep: PositiveDuration | None = Field(
        default=None, description="Waits for this long, without holding a pod."
    )
    needs: list[StepName] = Field(
        default=[],
        max_length=500,
        description="Steps that lead here: each draws an edge that fires whenever that step is done or"
        " skipped."
        " Without `next`, `catch` and `goto` the graph must have no cycle.",
    )
    join: Literal["all", "any"] = Field(
        default="all",
        description="`all`: runs once nothing under way can still lead here. `any`: runs once per token,"
        " one visit at a time; a skipped step gives no token.",
    )
    when: Expression | None = Field(
        default=None,
        description="CEL condition; if it is false the step is skipped, which counts as a visit and as done."
        " In a foreach a condition that names `item` is asked for each item, and items for which it is false"
        " are"
        " skipped and leave no result. Null: always runs.",
    )
    next: list[Next] = Field(
        default=[],
        max_length=500,
        description="Conditional edges, judged when the step is done: every entry whose `when` holds fires,"
        " and `otherwise` fires if none did.",
    )
    catch: StepName | None = Field(
        default=None,
        description="Step that runs when this one fails for good; the error is in the channel `error` as"
        " `{step, error, message, attempts}`. Null: the run fails.",
    )
    goto: list[StepName] = Field(
        default=[],
        max_length=500,
        description="Steps that `ctx.goto(name)` may name; it takes the place of `next`. For `python` steps.",
    )
    foreach: Foreach | None = Field(
        default=None, description="Runs the step once for each item of a list. Null: once. Not for waits."
    )
    retry: Retry | None = Field(
        default=None, description="What happens when a task of this step fails. Null: the Workflow's `retry`."
    )
    timeout: PositiveDuration | None = Field(
        default=None,
        description="Time for one attempt, after which it is really ended, with its children."
        " Time spent parked does not count. Null: none.",
    )
    max_visits: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="How often the step may be entered in one run; entering it once more fails the run with"
        " VisitsExhausted.",
    )
    metadata: Tags = Field(
        default={}, max_length=32, description="Free tags, kept with the checkpoints of this step."
    )
