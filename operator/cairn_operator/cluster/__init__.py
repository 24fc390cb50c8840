"""The API server, and nothing else: the only room that knows the Kubernetes client.

In and out go plain JSON objects, as the API server has them; what it refuses comes out as one of `errors`, in
its own words, mapped in one place. Reads are live, lists are paged.
Nothing here decides anything, and nothing here knows what a run is.
"""
