"""Keys and certificates of the local cluster, by openssl: one authority, and who it vouches for.

They live as long as the state folder; each start makes new ones, so a kubeconfig of an earlier cluster
opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.commands import output
from tests.cluster.harness.network import NODE

NODE_NAME = "cairn"
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Person:
    """Who a certificate names: a user in the words of RBAC, the groups, and the names it serves under."""

    user: str
    group: str = ""
    names: tuple[str, ...] = ()


PEOPLE = {
    "admin": Person("admin", "system:masters"),
    "apiserver": Person(
        "kube-apiserver", names=(NODE, "10.96.0.1", "127.0.0.1", "localhost", *SERVICE_NAMES)
    ),
    "apiserver-kubelet": Person("kube-apiserver-kubelet-client", "system:masters"),
    "controller-manager": Person("system:kube-controller-manager"),
    "dns": Person("system:coredns"),
    "etcd": Person("etcd", names=(NODE,)),
    "kubelet": Person(f"system:node:{NODE_NAME}", "system:nodes", (NODE, NODE_NAME)),
    "proxy": Person("system:kube-proxy"),
    "scheduler": Person("system:kube-scheduler"),
}
"""File name -> who it is for.  The names of users are those that Kubernetes' own roles are bound to."""


def make(folder: Path) -> None:
    """Make the authority, a key and a certificate for each, and the key that signs service accounts."""
    folder.mkdir(parents=True, mode=0o700)
    authority = ("-subj", "/CN=cairn-cluster", "-days", DAYS, "-addext", "keyUsage=critical,keyCertSign")
    output(*_request(folder, "ca"), *authority)
    for name, person in PEOPLE.items():
        output(*_request(folder, name), *_signed(folder, person))
    # In this older form the API server finds the public half by itself.
    output(
        "openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", str(folder / "accounts.key")
    )
    for key in folder.glob("*.key"):
        key.chmod(0o600)


def _request(folder: Path, name: str) -> list[str]:
    """A new key and a certificate for it, without a passphrase."""
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    return ["openssl", "req", "-x509", "-nodes", "-newkey", *CURVE, *files]


def _signed(folder: Path, person: Person) -> list[str]:
    """Signed by the authority, for servers and clients."""
    subject = (f"/O={person.group}" if person.group else "") + f"/CN={person.user}"
    kinds = [f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in person.names]
    said = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth"]
    said += [f"subjectAltName={','.join(kinds)}"] if kinds else []
    extensions = [word for extension in said for word in ("-addext", extension)]
    signer = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")]
    return [*signer, "-subj", subject, "-days", DAYS, *extensions]
