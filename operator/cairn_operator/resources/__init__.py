"""Manifests: what Cairn puts into a cluster, built from what is passed in.

`definitions` makes the custom resource definitions, from the models of the Workflow, of its status and of the
Checkpoint, from the `rules` that need more than one field, and from the columns that kubectl prints.
Builders are pure: the same arguments give the same manifest, to the byte. Nothing here reads a file, a clock,
the environment or a cluster, and nothing decides whether a manifest is wanted; that is `reconcile`'s.
A builder is named after what it returns.
"""
