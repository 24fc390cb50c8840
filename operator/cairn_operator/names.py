"""The words that Cairn writes into a cluster: one place for what would be a string in many.

Kinds and short names are those of the custom resource definitions; labels and annotations are what people
select and set with kubectl. Whoever builds, watches or prints an object takes the word from here.
Constants only: nothing is imported and nothing computed.
"""

from __future__ import annotations

GROUP = "cairn.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "cairn"

WORKFLOW_KIND = "Workflow"
WORKFLOW_PLURAL = "workflows"
WORKFLOW_SHORT = "cwf"

CHECKPOINT_KIND = "Checkpoint"
CHECKPOINT_PLURAL = "checkpoints"
CHECKPOINT_SHORT = "ckpt"

WORKFLOW_LABEL = f"{GROUP}/workflow"
"""Name of the Workflow that a pod or a Checkpoint belongs to."""
RUN_LABEL = f"{GROUP}/run"
"""Run id, on pods and Checkpoints."""
EPOCH_LABEL = f"{GROUP}/epoch"
"""Epoch that a pod was made for."""
GENERATION_ANNOTATION = f"{GROUP}/generation"
"""Generation of the Workflow that a pod was built from."""

PIN_ANNOTATION = f"{GROUP}/pin"
"""`true` on a Checkpoint keeps it from every prune; taking it away lets it go again."""
PINNED_ANNOTATION = f"{GROUP}/pinned"
"""The operator's own note on a Checkpoint: `true` where object and store last agreed that it is pinned."""

CANCEL_ANNOTATION = f"{GROUP}/cancel"
"""On a Workflow: id of the run that is to end for good; by its name the next run is left alone."""
ORIGIN_ANNOTATION = f"{GROUP}/origin"
"""On the Checkpoint of a fork's beginning: id of the checkpoint that the run was forked from."""

STORE_SECRET_PREFIX = "cairn-store-"  # noqa: S105 - the name of a Secret, not what is in it
"""A runner reads the URL of store `x` from key `url` of the Secret `cairn-store-x` of its own namespace."""
STORE_SECRET_KEY = "url"  # noqa: S105 - the same
KEYS_SECRET_KEY = "keys"  # noqa: S105 - the same
"""Key of the Secret of an installation's setting whose value is a key file; runners alone read it."""

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What is accepted where the metadata of an object, or of the objects of a list, are all that is read."""

WRITES = (
    "audit",
    "create_run",
    "hold",
    "release_hold",
    "claim_to_end",
    "end_run",
    "annotate",
    "claim",
    "create_pod",
    "delete_pod",
    "delete_workflow",
    "status",
    "event",
    "pin",
    "unpin",
    "create_checkpoint",
    "mark_checkpoint",
    "delete_checkpoint",
    "delete_run",
    "prune",
)
"""Every write of the operator but those to its Lease: where a test may end the process."""
