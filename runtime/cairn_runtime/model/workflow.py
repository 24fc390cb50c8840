"""The Workflow manifest, field by field: the contract that people write.

Each field carries a description (meaning, unit, default, what null does); the reference page and the
custom resource definition are generated from them.
The models check shapes and single values; what needs more than one field is in `validation`.
Names are camelCase in YAML and snake_case here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cairn_runtime.model.durations import Duration

if TYPE_CHECKING:
    from cairn_runtime.model.values import JSONValue
else:
    JSONValue = Any  # pydantic would walk every value again; what comes here was read as JSON already

API_VERSION = "cairn.dev/v1alpha1"
KIND = "Workflow"

Reducer: TypeAlias = str
Text: TypeAlias = Annotated[str, Field(max_length=4096)]
Expression: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]
StepName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=45, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
]
ChannelName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
]
FunctionRef: TypeAlias = Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]


class Model(BaseModel):
    """What all parts of a manifest share: camelCase names, no unknown fields, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True
    )


class Metadata(Model):
    """The part of Kubernetes' object metadata that Cairn reads; the rest is passed over."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(description="Name of the Workflow: at most 45 of a-z, 0-9 and '-'.")
    namespace: str = Field(default="default", description="Namespace; `default` without a cluster.")
    uid: str | None = Field(default=None, description="Set by Kubernetes.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the object.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the object.")


class CodeFrom(Model):
    """Where larger code comes from."""

    config_map: str = Field(
        max_length=253, description="ConfigMap whose keys are Python files; copied when accepted."
    )


class Channel(Model):
    """A named cell of the state."""

    reducer: Reducer = Field(
        default="replace",
        max_length=256,
        description="How writes fold: replace, append, extend, add, merge, union, max, min, last, "
        "or python: module:function.",
    )
    initial: JSONValue = Field(default=None, description="Value before the first write; default null.")
    schema_: JSONValue = Field(
        default=None,
        alias="schema",
        description="JSON Schema (2020-12), checked at every write; null checks nothing.",
    )


class State(Model):
    """The run's state: its channels."""

    channels: dict[ChannelName, Channel] = Field(
        default_factory=dict, description="The declared channels by name."
    )
    strict: bool = Field(
        default=True, description="Writing to an undeclared channel is an error (default true)."
    )


class Retry(Model):
    """What happens when a task fails."""

    policy: Literal["Exponential", "Fixed", "Adaptive", "Emergency"] = Field(
        default="Exponential", description="How the delay between tries grows."
    )
    limit: int | None = Field(
        default=None, ge=0, le=1000, description="Tries after the first; default 3 (Fixed: 5, Emergency: 1)."
    )
    base_delay: Duration | None = Field(default=None, description="First delay; default 100ms (Fixed: 1s).")
    max_delay: Duration | None = Field(
        default=None, description="Longest delay; default 30s (Emergency: 5s)."
    )
    multiplier: float | None = Field(
        default=None, ge=1, le=100, description="Growth of the delay; default 2.0 (Adaptive: 1.5)."
    )
    errors: list[str] | None = Field(
        default=None,
        max_length=64,
        description="Only these error class names are tried again; null: all that can be.",
    )
    not_errors: list[str] = Field(
        default_factory=list, max_length=64, description="These error class names are never tried again."
    )


class Foreach(Model):
    """One task for each item of a list."""

    in_: Expression = Field(alias="in", description="CEL expression that gives the list, e.g. state.urls.")
    parallelism: int = Field(default=10, ge=1, le=10000, description="Items under way at once; default 10.")
    collect: ChannelName | None = Field(
        default=None, description="Channel that gets the results in item order; null: items return writes."
    )


class Next(Model):
    """A conditional edge."""

    to: StepName = Field(description="The step that gets a token.")
    when: Expression | None = Field(
        default=None, description="CEL condition; null with otherwise unset: always."
    )
    otherwise: bool = Field(default=False, description="Fires if no other entry did.")


class Approval(Model):
    """A wait for a person."""

    message: str = Field(default="", max_length=4096, description="What the person is asked.")
    schema_: JSONValue = Field(
        default=None, alias="schema", description="JSON Schema for the value given with the answer."
    )
    deadline: Duration | None = Field(
        default=None, description="How long to wait; null: for ever. Then the step fails with DeadlinePassed."
    )


class Signal(Model):
    """A wait for a named signal."""

    name: str = Field(max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="The signal's name.")
    schema_: JSONValue = Field(
        default=None, alias="schema", description="JSON Schema for the signal's value."
    )
    deadline: Duration | None = Field(
        default=None, description="How long to wait; null: for ever. Then the step fails with DeadlinePassed."
    )


class Step(Model):
    """A unit of work: exactly one of python, run, argv, approval, signal, sleep."""

    name: StepName = Field(description="Unique name of the step.")
    python: FunctionRef | None = Field(default=None, description="module:function to call.")
    run: str | None = Field(
        default=None, min_length=1, max_length=65536, description="Shell command for /bin/sh -c."
    )
    argv: list[str] | None = Field(
        default=None, min_length=1, max_length=256, description="Program and arguments, no shell."
    )
    approval: Approval | None = Field(default=None, description="Wait for a person's answer.")
    signal: Signal | None = Field(default=None, description="Wait for a named signal.")
    sleep: Duration | None = Field(default=None, description="Wait for this long, holding no pod.")
    needs: list[StepName] = Field(
        default_factory=list, max_length=500, description="Steps that lead here when done."
    )
    join: Literal["all", "any"] = Field(
        default="all", description="all: once nothing under way can still lead here; any: once per token."
    )
    when: Expression | None = Field(
        default=None,
        description="CEL condition; false skips the step. With `item` in a foreach it is asked per item.",
    )
    next: list[Next] = Field(default_factory=list, max_length=500, description="Conditional edges.")
    catch: StepName | None = Field(default=None, description="Step that runs when this one fails for good.")
    goto: list[StepName] = Field(
        default_factory=list, max_length=500, description="Steps that ctx.goto may name."
    )
    foreach: Foreach | None = Field(default=None, description="Run once for each item of a list.")
    retry: Retry | None = Field(default=None, description="Retry policy; null: the Workflow's.")
    timeout: Duration | None = Field(
        default=None, description="Time for one attempt; null: none. Time spent parked does not count."
    )
    max_visits: int = Field(
        default=1000, ge=1, le=1_000_000, description="Visits after which the run fails; default 1,000."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Free tags for the checkpoints of this step."
    )


class History(Model):
    """Which checkpoints stay."""

    keep_last: int = Field(
        default=10, ge=1, le=100000, description="Ended steps whose checkpoints stay; default 10."
    )
    max_age: Duration = Field(default=7 * 86400.0, description="Age after which they may go; default 7d.")


class CheckpointPolicy(Model):
    """When checkpoints are written and what is waited for."""

    policy: Literal["EveryStep", "Barrier", "Interval", "Manual"] = Field(
        default="EveryStep", description="When events are flushed into a checkpoint."
    )
    interval: Duration = Field(
        default=30.0, description="With policy Interval: the longest time between two; default 30s."
    )
    durability: Literal["sync", "async", "exit"] = Field(
        default="sync",
        description="sync: wait for the store; async: go on while it writes; exit: write at the end.",
    )
    history: History = Field(default_factory=History, description="Retention.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Free tags for every checkpoint.")


class Restart(Model):
    """Crashes of the runner in a row, with no new checkpoint between them."""

    limit: int = Field(
        default=5, ge=0, le=1000, description="Crashes before the run fails with CrashLoop; default 5."
    )
    base_delay: Duration = Field(default=1.0, description="First delay; default 1s.")
    max_delay: Duration = Field(default=300.0, description="Longest delay; default 5m.")


class Resume(Model):
    """Fork a new run from a checkpoint."""

    checkpoint: str = Field(
        default="latest", max_length=253, description="Checkpoint id, object name, latest or start."
    )
    nonce: str = Field(max_length=63, description="Served once: change it to fork again.")
    state_patch: dict[ChannelName, JSONValue] = Field(
        default_factory=dict, description="Channels to set in the new run."
    )
    as_step: StepName | None = Field(
        default=None, description="The patch counts as written by this step, which counts as done."
    )
    steps: list[StepName] = Field(
        default_factory=list, max_length=500, description="Start at these steps instead of the frontier."
    )
    skip: list[StepName] = Field(
        default_factory=list, max_length=500, description="These steps count as done once."
    )


class Pod(Model):
    """What may be set on the runner's pod; used on a cluster only."""

    resources: JSONValue = Field(default=None, description="Container resources.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Node labels.")
    tolerations: list[JSONValue] = Field(default_factory=list, description="Tolerations.")
    affinity: JSONValue = Field(default=None, description="Affinity.")
    env: list[JSONValue] = Field(default_factory=list, description="Environment of the runner.")
    env_from: list[JSONValue] = Field(
        default_factory=list, description="Environment from ConfigMaps and Secrets."
    )
    volumes: list[JSONValue] = Field(default_factory=list, description="Volumes.")
    volume_mounts: list[JSONValue] = Field(default_factory=list, description="Mounts of the volumes.")
    service_account_name: str | None = Field(default=None, max_length=253, description="ServiceAccount.")
    image_pull_secrets: list[JSONValue] = Field(default_factory=list, description="Pull secrets.")
    priority_class_name: str | None = Field(default=None, max_length=253, description="PriorityClass.")
    run_as_user: int | None = Field(default=None, ge=1, description="User id.")
    fs_group: int | None = Field(default=None, ge=1, description="Group id of volumes.")
    labels: dict[str, str] = Field(default_factory=dict, description="More labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="More annotations.")
    termination_grace_period: Duration = Field(default=30.0, description="Time to drain; default 30s.")


class Spec(Model):
    """A graph of steps and how to run it."""

    image: str | None = Field(
        default=None, max_length=512, description="Image with cairn-workflows installed; null: the release's."
    )
    code: dict[str, str] = Field(
        default_factory=dict, description="Small inline Python modules by file name."
    )
    code_from: CodeFrom | None = Field(default=None, description="Larger code.")
    input: dict[ChannelName, JSONValue] = Field(
        default_factory=dict, description="Written to the channels of the same names."
    )
    state: State = Field(default_factory=State, description="The channels.")
    steps: list[Step] = Field(min_length=1, description="The steps, at most 500.")
    checkpoint: CheckpointPolicy = Field(
        default_factory=CheckpointPolicy, description="When and how checkpoints are written."
    )
    store: str = Field(default="default", max_length=63, description="Name of the store.")
    retry: Retry = Field(default_factory=Retry, description="Default for every step.")
    restart: Restart = Field(
        default_factory=Restart, description="How often a crashed runner is started again."
    )
    timeout: Duration | None = Field(default=None, description="Time for the whole run; null: none.")
    pod: Pod = Field(default_factory=Pod, description="The runner's pod.")
    suspend: bool = Field(default=False, description="Drain and hold.")
    resume: Resume | None = Field(default=None, description="Fork from a checkpoint.")
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain", description="What happens to the rows with the Workflow."
    )


class Workflow(Model):
    """The custom resource."""

    api_version: Literal["cairn.dev/v1alpha1"] = Field(description="cairn.dev/v1alpha1")
    kind: Literal["Workflow"] = Field(description="Workflow")
    metadata: Metadata = Field(description="Name and labels.")
    spec: Spec = Field(description="The graph and how to run it.")
    status: JSONValue = Field(default=None, description="Written by the operator; not read.")
