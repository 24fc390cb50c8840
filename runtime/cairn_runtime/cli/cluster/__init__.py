"""The room of `kubectl cairn`: what a person does with Workflows on a cluster, from their own machine.

Law: everything is said through the user's own kubectl, with their rights; no store is opened here, and no
Secret is read. What was typed is looked at by `naming` before it reaches an argument.
A wish is written into the object and the operator is waited for; that it does not answer undoes nothing.

    naming       names that were typed, refused where they cannot be names
    facts        a Workflow, a pod, a Checkpoint: what their documents say; pure
    looking      get, tree, checkpoints
    submitting   submit: judged here as `cairn validate` does, then applied
    following    watch: to the end, which gives the exit code
    changing     pause, unpause, cancel, pin, unpin, fork
    runnerlogs   logs, from one pod to the next
    checkups     doctor
    completing   what the shell may put in the place of the next word
"""
