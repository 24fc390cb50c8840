"""The chart's dump, from the CronJob to the run that goes on from it in a new database.

The database is lost whole: its pod goes, and its data with it. What the guide to backups types is typed, in a
namespace of Cairn and one of a team.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cluster.charts import RELEASE, VALUES, Helm
from tests.cluster.harness import tools
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.places import CHECKOUT, places
from tests.cluster.installations import START_SECONDS, Installation, condition_of, status, witness_manifests
from tests.cluster.pages import Reader, commands
from tests.cluster.workflows import chain, told

PAGE = CHECKOUT / "docs" / "howto" / "back-up-and-restore.md"
POSTGRES = "cairn-postgres-0"
SECOND = "WHERE seq = 2 AND run = (SELECT run FROM cairn.runs WHERE run_id = '{}')"
BEGINNING, MIDDLE = "## On a cluster", "### When the database is lost"


@dataclass(frozen=True, slots=True)
class Site:
    """A release with dumps in one namespace, its Workflows in another."""

    release: Cluster
    team: Installation
    folder: str
    """Of the dumps, on the node."""

    def dumps(self) -> list[str]:
        """The files that are there, the oldest first."""
        return sorted(self.release.provider.on_node("ls", self.folder).split())

    def dump(self, name: str, wanted: str) -> str:
        """Make a dump as the CronJob would, which must end so; answer the condition's reason."""
        self.release.kubectl("create", "job", name, f"--from=cronjob/{RELEASE}-backup")
        ended = self.release.until(
            f"job/{name}",
            lambda job: any(condition_of(job, kind) for kind in ("Complete", "Failed")),
            seconds=START_SECONDS,
        )
        assert condition_of(ended, wanted), f"{name} did not end as {wanted}: {status(ended)}"
        reason: str = condition_of(ended, wanted)["reason"]
        return reason

    def lose_the_database(self) -> None:
        """Take its pod away, and its data with it; wait for the new one, which is empty."""
        lost = self.release.get(f"pod/{POSTGRES}")["metadata"]["uid"]
        self.release.kubectl("delete", f"pod/{POSTGRES}", "--grace-period=1")
        self.release.until(
            f"pod/{POSTGRES}",
            lambda pod: pod["metadata"]["uid"] != lost and bool(condition_of(pod, "Ready")),
            seconds=START_SECONDS,
        )

    def sql(self, statement: str) -> str:
        """Ask the database, as its own user."""
        ask = f'PGPASSWORD=$POSTGRES_PASSWORD psql --host=127.0.0.1 --username=cairn --command="{statement}"'
        return self.release.exec(POSTGRES, "sh", "-c", ask)


@pytest.fixture(scope="module")
def folder(cluster: Cluster) -> Iterator[str]:
    """A folder of the node for a volume."""
    made = cluster.provider.on_node("mktemp", "--directory", "/var/tmp/cairn-dumps.XXXXXXXX").strip()  # noqa: S108
    yield made
    cluster.provider.on_node("rm", "--recursive", made)


@pytest.fixture(scope="module")
def volume(cluster: Cluster, folder: str) -> Iterator[str]:
    """A volume made by hand, since the cluster of the tests makes none; answers its storage class."""
    name = folder.rpartition("/")[2].replace(".", "-").lower()
    somewhere = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]}
    spec = {
        "storageClassName": name,
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "local": {"path": folder},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [somewhere]}},
    }
    document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    cluster.apply(json.dumps(document))
    yield name
    cluster.kubectl("delete", f"pv/{name}", "--wait=false")


@pytest.fixture(scope="module")
def site(cluster: Cluster, images: None, defined: None, volume: str, folder: str) -> Iterator[Site]:
    """A release that keeps one dump, and a witness beside its Workflows."""
    with cluster.new_namespace(restricted=True) as namespace, cluster.new_namespace() as team:
        Helm(tools.built(places(), "helm4"), namespace).install(
            watchNamespaces=[team.namespace],
            crds={"install": False},
            userRoles={"create": False},
            test={"enabled": False},
            backup={"enabled": True, "keep": 1, "persistence": {"size": "1Gi", "storageClass": volume}},
            postgres={**VALUES["postgres"], "namespaces": [team.namespace]},
        )
        team.apply(witness_manifests())
        team.wait("pod/witness", "condition=Ready", seconds=START_SECONDS)
        yield Site(namespace, Installation(team), folder)


def hashes(installed: Installation, run: str) -> list[str]:
    """Of a run's checkpoints: each seals its payload, its header and the hash before it."""
    return [row["hash"] for row in installed.checkpoints(run)]


def test_runs_go_on_from_a_dump_when_the_database_is_lost(site: Site, tmp_path: Path):
    """What was dumped comes back to the byte, no step of it runs again, and what came after it does."""
    installed = site.team
    names = {"cairn-system": site.release.namespace, "team": installed.namespace.namespace}
    reader = Reader(site.release, tmp_path, names)
    installed.hold("c#1")
    installed.apply(chain("digest", "a", "b", "c", "d", pod={"terminationGracePeriod": "1s"}))
    installed.apply(chain("done", "z"))
    installed.begun("c#1")
    run = status(installed.workflow("digest"))["run"]
    ended = status(installed.phase("done", "Succeeded"))["run"]
    dumped = {one: hashes(installed, one) for one in (run, ended)}

    said = "".join(reader.type(*commands(PAGE, BEGINNING)).values())

    (whole,) = site.dumps()
    assert f"exported 2 runs, {sum(map(len, dumped.values()))} checkpoints" in said
    assert f"to /backup/{whole}" in said

    installed.hold("d#1")
    installed.release("c#1")
    installed.begun("d#1")
    end_writers, *restore = commands(PAGE, MIDDLE)
    reader.type(end_writers, restore.pop(0))
    site.lose_the_database()
    reader.type(*restore)
    installed.release()
    installed.phase("digest", "Succeeded")

    assert {one: hashes(installed, one) for one in (run, ended)} == dumped
    assert installed.state("digest")["done"] == told("a", "b", "c", "d")
    begun = Counter(one["task"] for one in installed.beginnings())
    assert begun == {"a#1": 1, "b#1": 1, "c#1": 2, "d#1": 2, "z#1": 1}
    assert status(installed.workflow("done"))["run"] == ended
    assert installed.repeated() == []


def test_a_dump_that_lacks_something_is_seen_and_takes_no_whole_one_away(site: Site):
    """Its Job fails at once, its log names what is missing; the next whole one takes older ones along."""
    site.team.apply(chain("short", "a", "b"))
    run = status(site.team.phase("short", "Succeeded"))["run"]
    whole = site.dump("whole", "Complete")
    (before,) = site.dumps()
    site.sql(f"CREATE TABLE kept AS SELECT * FROM cairn.checkpoints {SECOND.format(run)}")
    site.sql(f"DELETE FROM cairn.checkpoints {SECOND.format(run)}")
    torn = site.dump("torn", "Failed")

    assert (whole, torn) == ("CompletionsReached", "PodFailurePolicy")
    assert "left behind: 1" in site.release.logs("job/torn")
    assert len(site.dumps()) == 2
    assert before in site.dumps()
    site.sql("INSERT INTO cairn.checkpoints SELECT * FROM kept")
    site.dump("mended", "Complete")
    (after,) = site.dumps()
    assert after > before
