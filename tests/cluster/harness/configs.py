"""What the programs of the local cluster are told: command lines and configuration files, as pure functions.

The reasons for what looks odd stand beside it; each was met on a machine: without the capability
CAP_SYS_RESOURCE, with control groups of version 1, with a full disk, with a Kubernetes client that insists on
progress notifications.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.cluster.harness.certificates import NODE_NAME
from tests.cluster.harness.cgroups import NAME as GROUP
from tests.cluster.harness.network import BRIDGE, NODE, PODS, SERVICES

SERVER = f"https://{NODE}:6443"
DOMAIN = "cluster.local"
PAUSE = "localhost/cairn-pause:1"


def kubeconfig(folder: Path, name: str) -> str:
    """How someone reaches the API server: everything in one file, so that it can be copied."""

    def text(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    cluster = {"server": SERVER, "certificate-authority-data": text("ca.crt")}
    user = {"client-certificate-data": text(f"{name}.crt"), "client-key-data": text(f"{name}.key")}
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "cairn",
            "clusters": [{"name": "cairn", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "cairn", "context": {"cluster": "cairn", "user": name}}],
        }
    )


def etcd(state: Path) -> list[str]:
    """One member, without waiting for the disk: nothing of this cluster is to outlive the machine."""
    keys = state / "keys"
    return [
        "--name=cairn",
        f"--data-dir={state / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=error",
        f"--listen-client-urls=https://{NODE}:2379",
        f"--advertise-client-urls=https://{NODE}:2379",
        f"--listen-peer-urls=https://{NODE}:2380",
        f"--initial-advertise-peer-urls=https://{NODE}:2380",
        f"--initial-cluster=cairn=https://{NODE}:2380",
        # Pods can reach this address: without a certificate they could read every Secret.
        *_mutual(keys, ""),
        *_mutual(keys, "peer-"),
    ]


def _mutual(keys: Path, side: str) -> list[str]:
    """Both ends of a connection to etcd show a certificate."""
    return [
        f"--{side}cert-file={keys / 'etcd.crt'}",
        f"--{side}key-file={keys / 'etcd.key'}",
        f"--{side}trusted-ca-file={keys / 'ca.crt'}",
        f"--{side}client-cert-auth",
    ]


def apiserver(state: Path) -> list[str]:
    """RBAC, the Node authorizer, and admission as in a cluster that one would be given."""
    keys = state / "keys"
    return [
        f"--bind-address={NODE}",
        f"--advertise-address={NODE}",
        "--secure-port=6443",
        f"--etcd-servers=https://{NODE}:2379",
        f"--etcd-cafile={keys / 'ca.crt'}",
        f"--etcd-certfile={keys / 'etcd.crt'}",
        f"--etcd-keyfile={keys / 'etcd.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={keys / 'apiserver-kubelet.key'}",
        # The node's name resolves nowhere.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={SERVICES}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={keys / 'accounts.key'}",
        f"--service-account-signing-key-file={keys / 'accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--endpoint-reconciler-type=lease",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager(state: Path) -> list[str]:
    """Every controller but the one that gives nodes their ranges: the one node has its bridge."""
    return [
        f"--kubeconfig={state / 'controller-manager.kubeconfig'}",
        f"--bind-address={NODE}",
        "--controllers=*,-node-ipam-controller",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={state / 'keys' / 'accounts.key'}",
        f"--root-ca-file={state / 'keys' / 'ca.crt'}",
        # It would make this folder on the machine, far from ours.
        f"--flex-volume-plugin-dir={state / 'kubelet' / 'plugins'}",
        "--leader-elect=false",
        "--profiling=false",
    ]


def scheduler(state: Path) -> list[str]:
    """The only one of its kind, so it holds no election."""
    kubeconfig_file = state / "scheduler.kubeconfig"
    return [
        f"--kubeconfig={kubeconfig_file}",
        f"--bind-address={NODE}",
        "--leader-elect=false",
        "--profiling=false",
    ]


def kubelet(state: Path) -> list[str]:
    """The node is its bridge."""
    return [
        f"--config={state / 'kubelet.json'}",
        f"--kubeconfig={state / 'kubelet.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE}",
        f"--root-dir={state / 'kubelet'}",
        f"--cert-dir={state / 'kubelet' / 'pki'}",
    ]


def kubelet_file(state: Path) -> str:
    """The kubelet's own configuration."""
    keys = state / "keys"
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE,
            "healthzBindAddress": NODE,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(keys / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(keys / "kubelet.crt"),
            "tlsPrivateKeyFile": str(keys / "kubelet.key"),
            "containerRuntimeEndpoint": f"unix://{containerd_socket(state)}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{GROUP}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # A negative one cannot be written without CAP_SYS_RESOURCE.
            "oomScoreAdj": 0,
            # The disk is shared with whoever else is on this machine and may be nearly full.
            "evictionHard": dict.fromkeys(
                ("memory.available", "nodefs.available", "imagefs.available"), "1%"
            ),
            "imageGCHighThresholdPercent": 100,
            "maxPods": 200,
            "podLogsDir": str(state / "logs" / "pods"),
            "volumePluginDir": str(state / "kubelet" / "plugins"),
            "clusterDNS": [NODE],
            "clusterDomain": DOMAIN,
            "resolvConf": str(state / "resolv.conf"),
            # It would leave chains in the machine's firewall.
            "makeIPTablesUtilChains": False,
            # As soon as something changed, not after a pause meant for thousands of nodes.
            "kubeAPIQPS": 100,
            "kubeAPIBurst": 200,
        }
    )


def proxy_file(state: Path) -> str:
    """kube-proxy by nftables, leaving the machine's own connection tracking as it is."""
    as_it_is = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(state / "proxy.kubeconfig")},
            "mode": "nftables",
            "bindAddress": NODE,
            "healthzBindAddress": f"{NODE}:10256",
            "metricsBindAddress": f"{NODE}:10249",
            "hostnameOverride": NODE_NAME,
            "clusterCIDR": PODS,
            "conntrack": as_it_is,
            "oomScoreAdj": 0,
            # A pod's answer to its neighbour would go straight over the bridge, past the rules that have to
            # translate it back, where the kernel does not show bridged packets to them.
            "nftables": {"masqueradeAll": True, "minSyncPeriod": "100ms"},
        }
    )


def containerd(state: Path, networks: Path) -> str:
    """The container runtime, with everything in the state folder.

    `restrict_oom_score_adj`: runc dies of a score that it may not write, saying only that a pipe ended.
    """
    own = state / "containerd"
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""
version = 2
root = "{own / "root"}"
state = "{own / "state"}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{containerd_socket(state)}"
[plugins."io.containerd.internal.v1.opt"]
path = "{own / "opt"}"
[{cri}]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{cri}.cni]
bin_dir = "{networks}"
conf_dir = "{own / "networks"}"
[{cri}.containerd]
snapshotter = "overlayfs"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def containerd_socket(state: Path) -> Path:
    """Where the container runtime listens."""
    return state / "containerd.sock"


def pod_network(state: Path) -> str:
    """How a pod is connected: a port of the bridge and an address of its range."""
    ranges = [[{"subnet": PODS, "rangeStart": "10.244.0.10", "gateway": NODE}]]
    addresses = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(state / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return _json({"cniVersion": "1.0.0", "name": "cairn-cluster", "plugins": [bridge]})


def dns(state: Path) -> str:
    """Names of Services and pods; there is nothing else to be found from here."""
    return f"""
{DOMAIN}:53 {{
    bind {NODE}
    errors
    ready {NODE}:8181
    kubernetes {DOMAIN} {{
        kubeconfig {state / "dns.kubeconfig"}
        pods insecure
        ttl 5
    }}
}}
.:53 {{
    bind {NODE}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


DNS_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [""], resources: [nodes], verbs: [get]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
"""


def _json(value: dict[str, Any]) -> str:
    """JSON is YAML, and every program here reads it."""
    return json.dumps(value, indent=1)
