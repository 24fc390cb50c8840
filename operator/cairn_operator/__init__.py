"""Cairn's operator: watches Workflows on a Kubernetes cluster and keeps a runner pod alive for each.

The law of the house: a handler only rings; a pass observes everything once, decides without I/O, and acts so
that twice equals once. Every prefix of a pass is a legal starting point for the next one.
The operator never reads state values, keeps no finalizers, and builds pods from the Kubernetes object alone.

    __main__, process   one process: its settings, its wiring, its life from start to end
    telemetry           its log, its numbers, its probes
    handlers            kopf as a doorbell; the only room that knows it
    reconcile           passes, and the rounds beside them
    resources           manifests, definitions and schemas, built without I/O
    cluster             the API server and the Lease; the only room that knows its client
    settings, names     what is told from outside; the words that are written into a cluster

Imports go down only. Of the runtime the operator may import `errors`, `model` and `store`.
What a pass does, in prose: docs/controller-flow.md.
"""
