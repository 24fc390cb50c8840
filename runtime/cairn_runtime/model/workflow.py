"""The Workflow manifest, field by field: the contract that people write.

Each field carries a description (meaning, unit, default, what null does); the reference page and the
custom resource definition are generated from them.
A field that is null counts as left out, as it does for the API server.
The models check shapes and single values; what needs more than one field is in `validation`.
Names are camelCase in YAML and snake_case here.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from cairn_runtime.model.durations import PositiveDuration
from cairn_runtime.model.fields import (
    LABEL,
    Annotations,
    ChannelName,
    JSONValue,
    Labels,
    Model,
    Reducer,
    StepName,
)
from cairn_runtime.model.running import CheckpointPolicy, History, Pod, Restart, Resume
from cairn_runtime.model.steps import Approval, Foreach, Next, Retry, Signal, Step

__all__ = [
    "API_VERSION",
    "KIND",
    "REDUCERS",
    "Approval",
    "Channel",
    "ChannelName",
    "CheckpointPolicy",
    "CodeFrom",
    "Foreach",
    "History",
    "Metadata",
    "Model",
    "Next",
    "Pod",
    "Restart",
    "Resume",
    "Retry",
    "Signal",
    "Spec",
    "State",
    "Step",
    "StepName",
    "Workflow",
]

API_VERSION = "cairn.dev/v1alpha1"
KIND = "Workflow"
REDUCERS = ("replace", "append", "extend", "add", "merge", "union", "max", "min", "last")


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
        description="Identity of the object, set by Kubernetes. Null: there is no cluster.",
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
        description="ConfigMap of the same namespace whose keys are file names, as in `code`."
        " It is copied when the Workflow is accepted, so that later edits change no run."
        " `cairn run FILE` takes the files beside the manifest instead.",
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
        description="Small Python modules by file name, e.g. `steps.py`, which can import each other, and"
        " files to read beside them, e.g. `words.txt`. Larger code comes by `codeFrom` or with the image.",
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
    ttl_after_finished: PositiveDuration | None = Field(
        default=None,
        description="How long after its end a Succeeded, Failed or Cancelled Workflow is deleted from the"
        " cluster; a resume before that starts the count anew. What happens to the rows in the store says"
        " `deletionPolicy`. Null: it is kept.",
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
