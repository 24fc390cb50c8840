"""The engine: from a Workflow and its history to what happens next, and to checkpoints of it.

    graph, compiled     what can be known before a run
    frontier, apply     the state of a run, and what each event does to it
    plan, waits, forks  deciding, pure
    fold, history       reading a state back
    readiness, port, saving, control, loop   the rim: when to start, save, wait
    execute, context, retry                  how one attempt is made

Law: deciding does no I/O and is told the time; an event is the only thing that changes a run's state;
nothing is acknowledged before it is durable.
Called by the runner and, for reading, by the command line; knows nothing of either, nor of Kubernetes.
"""
