"""Running: when checkpoints are written, what a fork changes, and what the runner's pod is given.

Imported by other rooms from `workflow`.
"""

from typing import Literal

from pydantic import Field

from cairn_runtime.model.durations import Duration, PositiveDuration
from cairn_runtime.model.fields import Annotations, ChannelName, JSONValue, Labels, Model, StepName, Tags

CHANGEABLE = ("timeout", "retry", "checkpoint")
"""Fields of a spec that its runner reads and that may change while the run is under way."""


class History(Model):
    """Which checkpoints stay: those that are within both bounds.

    Pinned ones, the head and all that these are folded from always do.
    """

    keep_last: int = Field(
        default=10,
        ge=1,
        le=100000,
        description="How many ended steps keep their checkpoint, the newest; it brings along what it is"
        " folded from.",
    )
    max_age: PositiveDuration = Field(
        default=7 * 86400.0,
        description="Age from which a checkpoint goes although `keepLast` would keep it; it goes on after"
        " the end of a run.",
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
        " newest checkpoint of the current run, `start` for a run from the beginning, which takes no patch.",
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
    node_selector: Labels = Field(default={}, max_length=64, description="Labels that the node must have.")
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
    pending_timeout: PositiveDuration | None = Field(
        default=None,
        description="How long the pod may be Pending: waiting for a node, an image, a volume. After that the"
        " run fails, with what the pod waited for as the message. Null: it waits for ever, and a condition"
        " says for what.",
    )
