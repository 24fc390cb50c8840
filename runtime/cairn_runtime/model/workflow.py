"""The Workflow manifest, field by field: the contract that people write.

Each field carries a description (meaning, unit, default, what null does); the reference page and the
custom resource definition are generated from them.
A field that is null counts as left out, as it does for the API server.
The models check shapes and single values; what needs more than one field is in `validation`.
Names are camelCase in YAML and snake_case here.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from cairn_runtime.model.durations import Duration, PositiveDuration

if TYPE_CHECKING:
    from cairn_runtime.model.values import JSONValue
else:
    JSONValue = Any  # pydantic would walk every value again; what comes here was read as JSON already

API_VERSION = "cairn.dev/v1alpha1"
KIND = "Workflow"
REDUCERS = ("replace", "append", "extend", "add", "merge", "union", "max", "min", "last")

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A label of RFC 1123, as Kubernetes wants in names of pods and values of labels."""

Reducer: TypeAlias = Annotated[str, Field(max_length=265)]
Text: TypeAlias = Annotated[str, Field(max_length=4096)]
Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]
StepName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=45, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
]
ChannelName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
]
FunctionRef: TypeAlias = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
    ),
]
ErrorName: TypeAlias = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=317)]
"""Key of a label or annotation: prefix, slash, name."""
Tags: TypeAlias = dict[
    Annotated[str, Field(min_length=1, max_length=63)], Annotated[str, Field(max_length=256)]
]
Labels: TypeAlias = dict[Key, Annotated[str, Field(max_length=63)]]
Annotations: TypeAlias = dict[Key, Annotated[str, Field(max_length=65536)]]


class Model(BaseModel):
    """What all parts of a manifest share: camelCase, no unknown fields, null counts as left out, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        defer_build=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        strict=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Put the rule for nulls first; as a decorator it would be inspected anew for every model."""
        return core_schema.no_info_before_validator_function(_without_nulls, handler(source))


def _without_nulls(data: Any) -> Any:  # noqa: ANN401 - whatever stands there
    if isinstance(data, dict) and None in data.values():
        return {key: value for key, value in data.items() if value is not None}
    return data


class Metadata(Model):
    """The part of Kubernetes' object metadata that Cairn reads; the rest is passed over."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(
        min_length=1,
        max_length=45,
        pattern=LABEL,
        description="Name of the Workflow, unique in its namespace: lower-case letters, digits and '-', no"
        " dots,"
        " because pods and labels are named after it.",
    )
    namespace: str = Field(
        default="default",
        min_length=1,
        max_length=63,
        pattern=LABEL,
        description="Namespace of the Workflow; without a cluster part of the Workflow's key in the store.",
    )
    uid: str | None = Field(
        default=None,
        max_length=64,
        description="Identity of the object, set by Kubernetes; null without a cluster.",
    )
    labels: Labels = Field(
        default={},
        max_length=256,
        description="Labels of the object, for selecting it; Cairn adds none.",
    )
    annotations: Annotations = Field(
        default={}, max_length=256, description="Annotations of the object; Cairn passes over them."
    )


class CodeFrom(Model):
    """Where code comes from that is too large to stand in the manifest."""

    config_map: str = Field(
        min_length=1,
        max_length=253,
        description="ConfigMap of the same namespace whose keys are Python files."
        " It is copied when the Workflow is accepted, so that later edits change no run.",
    )


class Channel(Model):
    """A named cell of the state."""

    reducer: Reducer = Field(
        default="replace",
        description="How a write folds into the value: `replace` takes the new value, and two steps that"
        " replace"
        " without seeing each other conflict; `last` takes it and never conflicts; `append` adds one item,"
        " `extend` a list's items, `union` those that the list does not hold yet; `add` adds numbers and"
        " joins"
        " text to text and list to list; `merge` puts an object's keys into the object, one level deep;"
        " `max` and `min` keep the larger or smaller number or text;"
        " `python: module:function` is your own function (old, new) -> new.",
    )
    initial: JSONValue = Field(
        default=None,
        description="Value before the first write: any JSON that suits reducer and schema."
        " Null: the channel starts as null, which every reducer takes as empty.",
    )
    schema_: JSONValue = Field(
        default=None,
        alias="schema",
        description="JSON Schema (2020-12, or the draft named in `$schema`) that every new value of the"
        " channel must"
        " fit; a write that does not fails the step with WriteRefused. References stay inside the schema."
        " Null: every JSON value fits.",
    )


class State(Model):
    """The run's state: its channels."""

    channels: dict[ChannelName, Channel] = Field(
        default={},
        max_length=500,
        description="The declared channels by name."
        " Input keys, names of approval and signal steps, `collect` channels and `error` need no declaration:"
        " they exist with reducer `last`. Declare one of them to give it a schema or another reducer"
        " (`error` cannot be declared).",
    )
    strict: bool = Field(
        default=True,
        description="Whether writing to a channel that is not declared fails the step."
        " With false such a write makes a channel with reducer `replace`.",
    )


class Retry(Model):
    """What happens when a task fails.

    A step's `retry` stands in place of the Workflow's as a whole.
    What can never end differently is not tried again, whatever is written here: a refused write, code that
    cannot be loaded, a failed expression, conflicting writes, a missed deadline, used-up visits.
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
        description="JSON Schema for the `value` given with the answer; an answer that does not fit is"
        " refused."
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


class History(Model):
    """Which checkpoints stay; pinned ones, the head and what they are folded from always do."""

    keep_last: int = Field(
        default=10, ge=1, le=100000, description="How many ended steps keep their checkpoints, the newest."
    )
    max_age: PositiveDuration = Field(
        default=7 * 86400.0, description="Age from which a checkpoint may go, unless `keepLast` keeps it."
    )


class CheckpointPolicy(Model):
    """When checkpoints are written and what is waited for."""

    policy: Literal["EveryStep", "Barrier", "Interval", "Manual"] = Field(
        default="EveryStep",
        description="When events are flushed into a checkpoint. `EveryStep`: after each task."
        " `Barrier`: at joins and parks. `Interval`: when `interval` has passed."
        " `Manual`: at `ctx.checkpoint()`. Always also at the end, on failure, when the run parks, and on"
        " drain.",
    )
    interval: PositiveDuration = Field(
        default=30.0,
        description="With policy Interval, and only there: the longest time between two flushes.",
    )
    durability: Literal["sync", "async", "exit"] = Field(
        default="sync",
        description="`sync`: no step starts before the checkpoint of the step before it is on stable storage."
        " `async`: steps go on while checkpoints are written in order. `exit`: all is written at the end;"
        " a crash loses the run's progress.",
    )
    history: History = Field(default_factory=History.model_construct, description="Which checkpoints stay.")
    metadata: Tags = Field(
        default={}, max_length=32, description="Free tags, kept with every checkpoint of the run."
    )


class Restart(Model):
    """Crashes of the runner in a row, with no new checkpoint between them.

    Infrastructure (a drained node, an evicted pod, a store that did not answer) does not count.
    """

    limit: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Crashes after which no new runner is started and the run fails with CrashLoop; 0: the"
        " first.",
    )
    base_delay: Duration = Field(
        default=1.0, description="Delay before the first restart; it doubles each time."
    )
    max_delay: PositiveDuration = Field(default=300.0, description="Longest delay before a restart.")


class Resume(Model):
    """Fork a new run from a checkpoint; the old run's history stays as it is."""

    checkpoint: str = Field(
        default="latest",
        min_length=1,
        max_length=253,
        description="Where the new run starts: a checkpoint's id, the name of a Checkpoint object, `latest`"
        " for the"
        " newest checkpoint of the current run, `start` for a run from the beginning.",
    )
    nonce: str = Field(
        min_length=1,
        max_length=63,
        description="Any text that was not used here before. Each nonce is served once, for ever: change it"
        " to fork"
        " again, and together with anything else in `resume`.",
    )
    state_patch: dict[ChannelName, JSONValue] = Field(
        default={},
        max_length=500,
        description="Channels to set in the new run, whatever their reducers; null as a value sets null.",
    )
    as_step: StepName | None = Field(
        default=None,
        description="Step that the patch counts as written by; it counts as done, and its edges fire."
        " Null: the patch is written, and no step counts as done.",
    )
    steps: list[StepName] = Field(
        default=[],
        max_length=500,
        description="Steps to start at in place of what the checkpoint would do next; empty: go on from"
        " there.",
    )
    skip: list[StepName] = Field(
        default=[],
        max_length=500,
        description="Steps that are skipped the next time they are entered.",
    )


class Pod(Model):
    """What may be set on the runner's pod; used on a cluster only.

    The fields mean what they mean in a Pod of Kubernetes.
    """

    resources: dict[str, JSONValue] | None = Field(
        default=None, description="Requests and limits of the container. Null: the operator's defaults."
    )
    node_selector: Labels = Field(default={}, description="Labels that the node must have.")
    tolerations: list[dict[str, JSONValue]] = Field(
        default=[], max_length=64, description="Taints of nodes that the pod tolerates."
    )
    affinity: dict[str, JSONValue] | None = Field(
        default=None, description="Affinity to nodes and pods. Null: none."
    )
    env: list[dict[str, JSONValue]] = Field(
        default=[],
        max_length=256,
        description="Environment variables, by `value` or `valueFrom`; names that begin with CAIRN_ are"
        " Cairn's own.",
    )
    env_from: list[dict[str, JSONValue]] = Field(
        default=[],
        max_length=64,
        description="Environment variables from whole ConfigMaps and Secrets.",
    )
    volumes: list[dict[str, JSONValue]] = Field(
        default=[],
        max_length=64,
        description="Volumes: configMap, secret, emptyDir, persistentVolumeClaim, ephemeral or downwardAPI.",
    )
    volume_mounts: list[dict[str, JSONValue]] = Field(
        default=[], max_length=64, description="Where the volumes are mounted."
    )
    service_account_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="ServiceAccount of the pod; its token is not mounted. Null: the namespace's default.",
    )
    image_pull_secrets: list[dict[str, JSONValue]] = Field(
        default=[], max_length=16, description="Secrets with which the image is pulled."
    )
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="PriorityClass of the pod. Null: the cluster's default.",
    )
    run_as_user: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="User id of the runner; never root. Null: the image's."
    )
    fs_group: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Group id that owns the volumes. Null: none."
    )
    labels: Labels = Field(default={}, max_length=64, description="More labels of the pod.")
    annotations: Annotations = Field(default={}, max_length=64, description="More annotations of the pod.")
    termination_grace_period: Duration = Field(
        default=30.0, description="Time between SIGTERM and SIGKILL, for running tasks to finish."
    )


class Spec(Model):
    """A graph of steps and how to run it."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image with Python and cairn-workflows installed, used on a cluster."
        " Null: the release's runner image.",
    )
    code: dict[Annotated[str, Field(max_length=64)], str] = Field(
        default={},
        max_length=64,
        description="Small Python modules by file name, e.g. `steps.py`; they can import each other."
        " Larger code comes by `codeFrom` or with the image.",
    )
    code_from: CodeFrom | None = Field(
        default=None, description="Where larger code comes from, in place of `code`. Null: nowhere."
    )
    input: dict[ChannelName, JSONValue] = Field(
        default={},
        max_length=500,
        description="The run's input, written to the channels of the same names when the run starts.",
    )
    state: State = Field(default_factory=State.model_construct, description="The channels.")
    steps: list[Step] = Field(
        min_length=1,
        description="The steps, at most 500. Those that no other step leads to start first;"
        " where several could, the order here decides.",
    )
    checkpoint: CheckpointPolicy = Field(
        default_factory=CheckpointPolicy.model_construct, description="When and how checkpoints are written."
    )
    store: str = Field(
        default="default",
        min_length=1,
        max_length=63,
        pattern=LABEL,
        description="Name of the store, as set up at install; not used without a cluster.",
    )
    retry: Retry = Field(
        default_factory=Retry.model_construct,
        description="What happens when a task fails, for every step without `retry`.",
    )
    restart: Restart = Field(
        default_factory=Restart.model_construct, description="How often a crashed runner is started again."
    )
    timeout: PositiveDuration | None = Field(
        default=None, description="Time for the whole run; time spent parked does not count. Null: none."
    )
    pod: Pod = Field(default_factory=Pod.model_construct, description="What may be set on the runner's pod.")
    suspend: bool = Field(
        default=False, description="Whether the run is drained and held; set to false, it goes on."
    )
    resume: Resume | None = Field(
        default=None, description="Fork a new run from a checkpoint. Null: the run that there is goes on."
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What happens to the rows in the store when the Workflow is deleted:"
        " `Retain` keeps them, `Delete` removes them.",
    )


class Workflow(Model):
    """The custom resource."""

    api_version: Literal["cairn.dev/v1alpha1"] = Field(
        description="The API group and version of this manifest."
    )
    kind: Literal["Workflow"] = Field(description="The kind of this manifest.")
    metadata: Metadata = Field(description="Name, namespace and labels.")
    spec: Spec = Field(description="The graph and how to run it.")
    status: JSONValue = Field(
        default=None, description="What the operator last saw; written by it, and passed over here."
    )


Workflow.model_rebuild()
