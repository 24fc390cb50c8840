"""What `helm test` runs: submit a small Workflow, kill its pod in the second step, see it resume.

The second step of the first epoch never ends; that of the next one ends at once. So the Workflow succeeds
only if a pod was killed and another one went on, and its first step has one checkpoint only if it was not run
again.
Only Python's own library is used: the image has no kubectl.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE = os.environ["TEST_NAMESPACE"]
NAME = os.environ["TEST_NAME"]
SECONDS = int(os.environ["TEST_SECONDS"])
CAIRN = f"/apis/cairn.dev/v1alpha1/namespaces/{NAMESPACE}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SELECTOR = f"?labelSelector=cairn.dev/workflow={NAME}"
STEPS = """
import os
import time


def first(state):
    return {"done": ["first"]}


def second(state):
    while os.environ["CAIRN_EPOCH"] == "1":
        time.sleep(1)
    return {"done": ["second"]}
"""


def ask(method, path, body=None):
    """Ask the API server; None: there is no such object."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    headers = {
        "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
        "Content-Type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"https://{host}:{port}{path}", data, headers, method=method)
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        message = json.loads(error.read() or b"{}").get("message", error.reason)
        raise SystemExit(f"FAILED: {method} {path}: {message}") from None


def workflow():
    """The test's Workflow."""
    account = os.environ.get("TEST_ACCOUNT", "")
    return {
        "apiVersion": "cairn.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "store": os.environ["TEST_STORE"],
            "deletionPolicy": "Delete",
            "code": {"steps.py": STEPS},
            "state": {"channels": {"done": {"reducer": "extend", "initial": []}}},
            "steps": [
                {"name": "first", "python": "steps:first"},
                {"name": "second", "python": "steps:second", "needs": ["first"]},
            ],
            **({"pod": {"serviceAccountName": account}} if account else {}),
        },
    }


def wait(what, found):
    """Ask again and again until something is found; ends the test where it is not in time."""
    print(f"waiting until {what} ...", flush=True)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)
    print(f"FAILED: not within {SECONDS} s: {what}", flush=True)
    tell()
    raise SystemExit(1)


def tell():
    """Say how the Workflow is."""
    seen = ask("GET", f"{CAIRN}/workflows/{NAME}") or {}
    status = seen.get("status")
    if not status:
        print(f"no operator has looked at the Workflow: does it watch {NAMESPACE}? See its log.")
        return
    print(f"phase {status.get('phase')}, progress {status.get('progress')}, epoch {status.get('epoch')}")
    for one in status.get("conditions", []):
        print(f"  {one['type']}={one['status']} {one.get('reason', '')}: {one.get('message', '')}")


def status():
    """The status of the Workflow; empty before the operator has seen it."""
    found = ask("GET", f"{CAIRN}/workflows/{NAME}") or {}
    return found.get("status") or {}


def second_step_runs():
    """The pod in which the second step is running, once the first step is done."""
    now = status()
    if now.get("phase") in ("Failed", "Succeeded", "Cancelled"):
        tell()
        raise SystemExit(f"FAILED: the Workflow is {now['phase']} before its pod was killed")
    return now.get("pod") if now.get("progress") == "1/2" else None


def ended():
    """The last status, once there is one."""
    now = status()
    return now if now.get("phase") in ("Failed", "Succeeded", "Cancelled") else None


def checkpoints():
    """The steps of the Checkpoint objects by number, once the last one is there."""
    listed = ask("GET", f"{CAIRN}/checkpoints{SELECTOR}")["items"]
    steps = [one["spec"].get("step", "") for one in sorted(listed, key=lambda one: one["spec"]["seq"])]
    return steps if "second" in steps else None


def remove():
    """Take the Workflow away, and its pods and checkpoints with it."""
    if ask("DELETE", f"{CAIRN}/workflows/{NAME}", {"propagationPolicy": "Background"}) is not None:
        wait("the Workflow is gone", lambda: ask("GET", f"{CAIRN}/workflows/{NAME}") is None)


def main():
    """Run the test."""
    remove()
    begin = time.monotonic()
    ask("POST", f"{CAIRN}/workflows", workflow())
    pod = wait("its second step runs", second_step_runs)
    print(f"killing pod {pod}", flush=True)
    ask("DELETE", f"{PODS}/{pod}", {"gracePeriodSeconds": 0})
    last = wait("it has ended", ended)
    if last["phase"] != "Succeeded" or last["epoch"] < 2:
        tell()
        raise SystemExit("FAILED: it did not succeed in a later epoch")
    steps = wait("its checkpoints are shown", checkpoints)
    if steps.count("first") != 1 or steps.count("second") != 1:
        raise SystemExit(f"FAILED: each step must have one checkpoint: {steps}")
    remove()
    took = time.monotonic() - begin
    print(f"OK: submitted, killed, resumed in epoch {last['epoch']}, succeeded; {took:.1f} s in all")


if __name__ == "__main__":
    sys.exit(main())
