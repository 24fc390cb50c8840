"""One pass: observe -> decide -> act.

    observe   reads everything a decision needs, once: the object, its pods, the run's row
    checks    pure facts about what was observed, each named after what it finds
    decide    pure: an ordered list of actions and the status, from one World
    act       carries actions out; each is idempotent, and every prefix of the list is a legal start

Nothing here knows kopf; only `observe` and `act` do I/O, through `cluster` and the store.
"""
