"""Rights that an operator gets one after the other, each only when it was refused for the lack of it.

What it holds in the end is what it needs: nothing that it never missed, and all without which it does not do
its work.  A right is `(API group, resource, verb)`.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.cluster.harness.cluster import Cluster, Object

Right = tuple[str, str, str]

MISSED = re.compile(r'cannot (\w+) resource "([\w/]+)" in API group "([\w.]*)"')
"""In the words of the API server."""


def rights_in(roles: Iterable[Object]) -> set[Right]:
    """Every right that these roles give."""
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rules_of(rights: Iterable[Right]) -> list[Object]:
    """Rules for a role that gives these rights."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for group, resource, verb in sorted(rights)
    ]


@contextmanager
def granted_when_missed(namespace: Cluster, account: str, pod: str) -> Iterator[set[Right]]:
    """Give a service account without rights whatever its pod logs that it may not do; yields what it has.

    The pod runs already: a log of a container that is not there yet cannot be followed.  A Workflow is
    touched after each grant, so that nobody waits for a pause to end.
    """
    rights: set[Right] = set()
    _bind(namespace, account)
    argv = namespace.kubectl_argv("logs", pod, "--follow")
    with subprocess.Popen(argv, env=namespace.environ(), stdout=subprocess.PIPE, text=True) as following:

        def give() -> None:
            for line in following.stdout or ():
                missed = {(group, resource, verb) for verb, resource, group in MISSED.findall(_words(line))}
                if missed - rights:
                    rights.update(missed)
                    namespace.kubectl("patch", "role/granted", "--type=merge", f"--patch={_patch(rights)}")
                    touch = ("--all", "--overwrite", f"rights={len(rights)}")
                    namespace.kubectl("annotate", "workflows.cairn.dev", *touch)

        giving = threading.Thread(target=give)
        giving.start()
        try:
            yield rights
        finally:
            following.kill()
            giving.join()


def _words(line: str) -> str:
    """What a log line says; a JSON line has its quotes escaped."""
    return line.replace('\\"', '"')


def _patch(rights: Iterable[Right]) -> str:
    return json.dumps({"rules": rules_of(rights)})


def _bind(namespace: Cluster, account: str) -> None:
    """Bind the account to a role that gives nothing yet."""
    api, metadata = "rbac.authorization.k8s.io", {"name": "granted"}
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": []}
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "granted"},
        "subjects": [{"kind": "ServiceAccount", "name": account}],
    }
    for document in (role, binding):
        namespace.apply(json.dumps(document))
