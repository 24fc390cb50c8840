"""The room of the verbs: one file for each group, one function for each verb.

A function's arguments are the verb's options and its docstring is the verb's help, so both are written for
whoever types them.
What a verb needs is imported when it is called: `cairn validate` must not pay for a store, nor `cairn --help`
for either.
Each returns the process's exit code.
"""
