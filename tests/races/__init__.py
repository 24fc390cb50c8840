"""Races: real processes contend for one store, and an independent checker reads what came of it.

    python -m tests.races --store sqlite:////tmp/races.db --races 10000 --seed 1

A *race* is one contested situation (`situations`): writers that were started at the same moment (`meetings`)
do what their orders say (`orders`, `writers`), one of them may be killed, and a reader looks on.
Every process writes down what it sent and what it was answered, with times (`logs`).
A crew (`crews`) is one director, its writers and its reader; after every few races it hands the logs of a run
to the checker (`evidence`, `histories`, `answers`, `rows_seen`, `claims`, `signals`, `checker`), which
imports nothing of Cairn.
`plants` are stores with a fault, for the test that the checker finds it.
"""
