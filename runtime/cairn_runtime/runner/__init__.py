"""The room of whoever drives a run: the runner process, the local supervisor, the functions for programs.

    __main__      python -m cairn_runtime.runner: the process that runs one attempt of one run
    process       what that process does, with settings, logs, heartbeats, stopping, announcements, lastwords
    attempts      one claim's time with a run, in whatever process; session: what is open meanwhile
    moves         pure: what comes next after an attempt ended
    supervisor    starts runner processes and starts them again, as the operator would
    inprocess     the same with attempts in the caller's own process
    starting      which run a Workflow goes on with, and how one is ended; forking: new runs from checkpoints
    naming        from typed text to a row; accepting: from a file to a Workflow; answering: answers to waits
    traces        whether spans are asked for, by whom, and the port behind which otel makes and exports them
    library       run, resume, stream, state, history, signal, approve, reject

Law: one run, one claim. Whoever starts an attempt claims an epoch for it, and what happened is read from the
store, never from an exit code.
The command line and programs call; nothing here reads a terminal or prints.
"""
