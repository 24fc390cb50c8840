"""A real Kubernetes for the cluster tests, and for people: `make cluster-up`, `make cluster-down`.

What is used, in this order: the cluster of a given `KUBECONFIG`; kind, where a Docker engine answers; else a
cluster of this harness's own, built from Go modules and Debian packages and run by root on this machine.

    __main__     the commands up, down, show, program, test
    choosing     which cluster it is
    cluster      what a test does with it: kubectl, apply, wait, kill, cut the network, collect
    given kind local     the three clusters, each with its node and its way to load an image
    places       folders and versions            journal      what was changed on this machine
    debian       packages                        binaries     programs of the cluster, from a Go module
    tools        Helm, promtool, kind: programs that tests call
    images       base image, pause image, builds certificates configs     of the local cluster
    processes cgroups network mounts             what the local cluster starts, and how it ends

It imports nothing of Cairn: it is as well a cluster for something else.
"""
