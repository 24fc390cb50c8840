"""The doorbells: kopf watches, we ring. The only room besides `__main__` that may know kopf.

A handler rings and returns: it reads names from an event, decides nothing, writes nothing and keeps nothing.
kopf gets no finalizer, no annotation and no Kubernetes Event to write; what it can do is be late, and that is
what the full lists are for.
"""
