"""A restore drill: a store is exported while it is in use, and its runs go on in another place."""

from __future__ import annotations

import json

import pytest
from tests.cluster import installations
from tests.cluster.installations import Installation
from tests.cluster.workflows import chain, told

INSTALLATION = "restored"
DUMP = "/tmp/dump.cairn.zst"  # noqa: S108 - of the witness, which has nothing else
READ = "import base64, sys; print(base64.b64encode(open(sys.argv[1], 'rb').read()).decode())"
WRITE = "import base64, sys; open(sys.argv[1], 'wb').write(base64.b64decode(sys.argv[2]))"


@pytest.fixture
def elsewhere(cluster, images, defined, postgres):
    """Another namespace, with a store and an operator of its own."""
    with cluster.new_namespace() as namespace:
        url = f"{postgres}?schema={namespace.namespace.replace('-', '_')}"
        installation = Installation(namespace, {"CAIRN_INSTALLATION": INSTALLATION})
        namespace.apply(json.dumps(installations.secret(url)))
        namespace.apply(installations.witness_manifests())
        installation.start()
        namespace.wait("pod/witness", "condition=Ready", seconds=installations.START_SECONDS)
        yield installation
        installation.release()
        assert installation.repeated() == []


def test_a_store_is_exported_and_runs_go_on_in_another_place(installed, elsewhere):
    """What was done is not done again; the run that was exported ends where it is, undisturbed."""
    installed.hold("c#1")
    installed.apply(chain("digest", "a", "b", "c", "d"))
    installed.apply(chain("done", "a"))
    installed.begun("c#1")
    installed.phase("done", "Succeeded")

    exported = installed.cairn("export", "--all", f"--file={DUMP}")
    data = installed.namespace.exec("witness", "python", "-c", READ, DUMP).strip()
    elsewhere.namespace.exec("witness", "python", "-c", WRITE, DUMP, data)
    into = (f"--namespace={elsewhere.namespace.namespace}", f"--installation={INSTALLATION}")
    imported = elsewhere.cairn("import", DUMP, *into)

    assert (exported["runs"], exported["left"]) == (imported["runs"], imported["left"]) == (2, [])
    origin = _exported_run(elsewhere, "digest")
    assert (origin["phase"], origin["reason"]) == ("Cancelled", "Imported")
    assert elsewhere.cairn("verify")["sound"]

    resume = {"checkpoint": origin["head"]["id"], "nonce": "restored"}
    elsewhere.apply(chain("digest", "a", "b", "c", "d", resume=resume))
    elsewhere.phase("digest", "Succeeded")

    # Two Workflows of this name have runs there, with one uid each: the namespace's newest is meant.
    newest = f"{elsewhere.namespace.namespace}/digest"
    assert elsewhere.state(newest)["done"] == told("a", "b", "c", "d")
    assert {one["task"] for one in elsewhere.beginnings()} == {"c#1", "d#1"}
    assert [line["what"] for line in elsewhere.cairn("audit")["lines"]].count("import") == 2
    installed.release()
    installed.phase("digest", "Succeeded")
    assert installed.state("digest")["done"] == told("a", "b", "c", "d")


def _exported_run(installed: Installation, name: str) -> dict:
    """The run of a Workflow that was imported, as the command line shows it."""
    rows = installed.cairn("runs")
    found: dict = next(row for row in rows if row["workflow"].rpartition("/")[2] == name)
    return found
