"""Channels: the named cells of a run's state, and how writes fold into them.

`reducers` holds one small function per reducer; `cells` joins a channel's reducer, schema and name into one
door that every write passes.
Pure: no I/O, and the only user code is a `python:` reducer that the engine loaded and handed in.
"""
