"""The room of the command line: `cairn`.

Law: every wrong use ends in a line that says what to do, and in an exit code; never in a traceback.
With `-o json` standard output is one document and nothing else; errors go to standard error, in every format.
Start-up is part of the product: a verb imports what it needs when it is called, and `rich` only where a table
is alive on a terminal.

    __main__   from the arguments to an exit code; the only place that turns exceptions into words
    app        which verbs there are, and their help
    verbs/     one file per group of verbs: their options, which are what the reference shows
    views/     from rows to text, drawings and JSON: pure, but for the live table

What the verbs do: `manifests` (validate), `drawing` (graph), `histories` (runs, checkpoints, show, state and
diff), `proofs` (verify), `watching` (watch), `answers` (approve, reject, signal), `runs` (run, resume and
cancel) with `driving` and `shows`, which tell of a run while it runs. On a cluster: `kubectl`,
`clusters` (resume and fork) and the room `cluster/`.

Nothing here decides about a run: that is the engine's and the runner's.
"""
