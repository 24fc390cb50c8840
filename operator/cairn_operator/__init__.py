"""Cairn's operator: watches Workflows on a Kubernetes cluster and keeps a runner pod alive for each.

The law of the house: a handler only rings; a pass observes everything once, decides without I/O, and acts so
that twice equals once. Every prefix of a pass is a legal starting point for the next one.
The operator never reads state values, keeps no finalizers, and builds pods from the Kubernetes object alone.

Layers, from the top: `handlers`, `reconcile`, `resources` and `cluster`, `settings` and `names`.
Only `names` is here so far. Of the runtime the operator may import `errors`, `model` and `store`.
"""
