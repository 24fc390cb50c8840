"""What the other cluster tests build on: pods, names, images, faults, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys

import pytest
from tests.cluster.harness import cgroups, mounts, network, processes
from tests.cluster.harness.choosing import GIVEN, NoCluster, chosen, present
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.commands import CommandFailed, until
from tests.cluster.harness.images import BASE
from tests.cluster.harness.journal import Journal
from tests.cluster.harness.local import Local
from tests.cluster.harness.places import CHECKOUT, Places, places

SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.uname().nodename.encode())
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""

ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())"

TOLD = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""By what a build is told how this machine reaches registries."""

SECURE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, *argv: str, image: str = BASE, secure: bool = False) -> str:
    """A pod that runs a program once."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": list(argv)}
    container |= {"securityContext": SECURE} if secure else {}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": spec,
        }
    )


def sleeper(name: str) -> str:
    """A pod that does nothing until it is ended."""
    return pod(name, "python3", "-c", "import signal; signal.pause()")


def server(name: str) -> str:
    """A pod that answers with its name on port 8080."""
    return pod(name, "python3", "-c", SERVER)


def service(name: str) -> str:
    """A Service for the pod of the same name."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def answered(client: Cluster, url: str) -> str:
    """What the pod `client` gets from a URL; the error's text if it gets nothing."""
    try:
        return client.exec("client", "python3", "-c", ASK, url).strip()
    except CommandFailed as error:
        return str(error)


def require_answer(client: Cluster, url: str) -> None:
    """The server `web` is heard; names, rules and the server itself come a moment after its pod."""
    until(lambda: answered(client, url) == "web", f"{url} answers")


def test_a_pod_runs_and_its_output_can_be_read(namespace):
    """A program runs to its end, and what it printed is its log."""
    namespace.apply(pod("hello", "python3", "-c", "print('marked', 6 * 7)"))

    namespace.wait("pod/hello", "jsonpath={.status.phase}=Succeeded")
    assert namespace.logs("hello") == "marked 42\n"


def test_a_program_can_be_run_in_a_pod(namespace):
    """Exec goes the long way: API server, kubelet, container runtime."""
    namespace.apply(sleeper("idle"))
    namespace.wait("pod/idle", "condition=Ready")

    assert namespace.exec("idle", "python3", "-c", "print(open('/etc/hostname').read().strip())") == "idle\n"


def test_a_service_is_found_by_its_name(namespace):
    """A pod reaches another one by the name of a Service, short and whole."""
    namespace.apply(server("web"))
    namespace.apply(service("web"))
    namespace.apply(sleeper("client"))
    namespace.wait("pod/web", "condition=Ready")
    namespace.wait("pod/client", "condition=Ready")

    for url in ("http://web", f"http://web.{namespace.namespace}.svc.cluster.local"):
        require_answer(namespace, url)


def test_a_restricted_namespace_refuses_a_careless_pod(restricted_namespace):
    """The security standard is enforced, and a pod that follows it runs."""
    careful = pod("careful", "python3", "-c", "import os; print(os.getuid())", secure=True)

    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted:latest"'):
        restricted_namespace.apply(sleeper("careless"))
    restricted_namespace.apply(careful)
    restricted_namespace.wait("pod/careful", "jsonpath={.status.phase}=Succeeded")
    assert restricted_namespace.logs("careful") == "65532\n"


def test_a_killed_process_ends_its_pod_as_a_crash_would(namespace):
    """SIGKILL from the node reaches the first process, which nothing inside the pod could kill."""
    namespace.apply(sleeper("victim"))
    namespace.wait("pod/victim", "condition=Ready")

    namespace.kill("victim", signal.SIGKILL)

    ended = namespace.until("pod/victim", lambda found: found["status"]["phase"] == "Failed")
    (status,) = ended["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 128 + signal.SIGKILL


def test_a_pod_that_is_cut_off_is_not_heard_until_it_is_given_back(namespace):
    """Cut off, a pod answers nobody; given its network back, it is the same pod and answers."""
    namespace.apply(server("web"))
    namespace.apply(sleeper("client"))
    namespace.wait("pod/client", "condition=Ready")
    ready = namespace.until("pod/web", lambda found: bool(found["status"].get("podIP")))
    namespace.wait("pod/web", "condition=Ready")
    url = f"http://{ready['status']['podIP']}:8080"

    require_answer(namespace, url)
    namespace.cut_network("web")
    cut = answered(namespace, url)
    namespace.restore_network("web")

    assert "timed out" in cut
    require_answer(namespace, url)


def test_an_image_is_built_and_run(namespace, tmp_path):
    """A Dockerfile with a build argument and pip becomes an image; what pip is told stays outside."""
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE=python:3.12-slim\n"
        "FROM ${BASE}\n"
        "ARG WORD\n"
        "RUN python3 -m venv /opt/own && /opt/own/bin/pip install --no-cache-dir 'idna>=3'\n"
        'ENV WORD="${WORD}"\n'
    )
    image = namespace.build_image(
        "localhost/cairn-harness:test",
        tmp_path / "Dockerfile",
        context=tmp_path,
        build_args={"WORD": "given"},
    )
    told = f"import hashlib; print([hashlib.sha256(open(file, 'rb').read()).hexdigest() for file in {TOLD}])"
    program = f"import os, idna; print(os.environ['WORD']); {told}"

    namespace.apply(pod("built", "/opt/own/bin/python3", "-c", program, image=image))
    namespace.apply(pod("base", "python3", "-c", told))

    namespace.wait("pod/built", "jsonpath={.status.phase}=Succeeded")
    namespace.wait("pod/base", "jsonpath={.status.phase}=Succeeded")
    assert namespace.logs("built") == "given\n" + namespace.logs("base")


def test_what_is_kept_of_a_failure_tells_its_story(namespace, tmp_path):
    """Objects, Kubernetes Events and logs of the namespace are written; Secrets are not."""
    namespace.apply(pod("said", "python3", "-c", "print('last words'); raise SystemExit(3)"))
    namespace.kubectl("create", "secret", "generic", "store", "--from-literal=url=postgresql://u:hidden@h/d")
    namespace.wait("pod/said", "jsonpath={.status.phase}=Failed")

    namespace.collect(tmp_path)

    texts = {file.name: file.read_text() for file in tmp_path.iterdir() if file.is_file()}
    assert "last words" in texts["said.log"]
    assert "exitCode: 3" in texts["objects.yaml"]
    assert "Pulled" in texts["events.txt"]
    assert not any("hidden" in text or "cG9zdGdyZXNxbDov" in text for text in texts.values())
    assert not [name for name in texts if name.endswith(".error")]


def test_only_its_owner_can_read_the_kubeconfig(cluster):
    """Whoever reads it is the cluster's administrator."""
    mode = stat.S_IMODE(cluster.kubeconfig.stat().st_mode)

    assert mode == 0o600


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        pytest.param({"KUBECONFIG": "/somewhere/config"}, "given", id="a given cluster comes first"),
        pytest.param(
            {"CAIRN_TEST_KUBECONFIG": "/somewhere/config"}, "given", id="also under the tests' own name"
        ),
        pytest.param(
            {"KUBECONFIG": "{own}"}, "local", id="the one that the harness started is not a given one"
        ),
        pytest.param({}, "local", id="what was started stays in use, Docker or not"),
    ],
)
def test_the_first_cluster_that_is_there_is_used(monkeypatch, tmp_path, environ, name):
    """A given cluster, else the one that was started."""
    own = Places(tmp_path / "cache", tmp_path / "state")
    own.state.mkdir()
    Journal.begin(own.journal)
    for variable in GIVEN:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value.format(own=own.kubeconfig))

    assert chosen(own).name == name


def test_a_cluster_that_was_not_started_whole_is_not_there(monkeypatch, tmp_path):
    """Half a cluster is none: whoever wants one is told how to start it."""
    own = Places(tmp_path / "cache", tmp_path / "state")
    own.state.mkdir()
    Journal.begin(own.journal)
    for variable in GIVEN:
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(NoCluster, match="make cluster-up"):
        present(own)


def test_a_journal_of_an_earlier_boot_is_worth_nothing(tmp_path):
    """Its process ids and networks went with that boot, and may be somebody else's now."""
    journal = Journal(tmp_path / "journal.json", "an earlier boot")
    journal.note_process("etcd", os.getpid(), 1)

    assert Journal.read(journal.file) is None


@pytest.fixture
def own_local(cluster: Cluster) -> Local:
    """The local cluster, if it was started for the tests."""
    if not isinstance(cluster.provider, Local) or "CAIRN_TEST_OWN_CLUSTER" not in os.environ:
        pytest.skip("only a local cluster that was started for the tests may be ended by one")
    return cluster.provider


def everything_left() -> list[object]:
    """What a cluster leaves on this machine."""
    own = places()
    left: list[object] = [
        *processes.marked(own.state),
        *cgroups.left(),
        *mounts.left(own.state),
        *network.left(),
    ]
    return left + ([own.state] if own.state.exists() else [])


def programs() -> dict[str, tuple[int, int]]:
    """The programs of the local cluster that the journal knows: process ids, and when each was started."""
    journal = Journal.read(places().journal)
    return journal.processes if journal else {}


def works(cluster: Cluster) -> bool:
    """Whether a pod runs."""
    with cluster.new_namespace() as namespace:
        namespace.apply(pod("again", "python3", "-c", "print('again')"))
        namespace.wait("pod/again", "jsonpath={.status.phase}=Succeeded")
        return namespace.logs("again") == "again\n"


@pytest.mark.restarts_cluster
def test_a_cluster_ends_without_a_trace_and_starts_again(cluster, own_local):
    """After `down` no process, group, mount or network is left; the next `up` is a cluster like the first."""
    own_local.down()
    left = everything_left()
    own_local.up()

    assert left == []
    assert works(cluster)


@pytest.mark.restarts_cluster
def test_a_start_that_was_killed_is_no_obstacle(cluster, own_local):
    """What a start left that got SIGKILL in the middle is given back by the next one, which then succeeds."""
    own_local.down()
    with subprocess.Popen([sys.executable, "-m", "tests.cluster.harness", "up"], cwd=CHECKOUT) as starting:
        until(lambda: "containerd" in programs(), "the container runtime was started", every=0.02)
        starting.kill()
    orphans = set(programs().values())

    own_local.up()

    assert orphans
    assert not orphans & set(programs().values())
    assert not any(processes.tick_of(pid) == tick for pid, tick in orphans)
    assert works(cluster)
