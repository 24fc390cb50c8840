"""The model: what a Workflow is, and whether one can be accepted.

`reading` turns text into JSON as kubectl would, `workflow` holds the fields, `validation` judges the whole
and names every fault at once; `edges`, `expressions` and `schemas` are what the engine builds on too.
Everything is pure: text and JSON in, models and faults out.
Nothing here opens a file, asks a network or runs a user's code, and heavy libraries are loaded by the first
thing that needs them.
"""
