"""A password of a store's URL is shown by no verb, in no format, error, log or file, and to no other process.

Runs are made by real runners on real servers that ask for a password, and every verb is typed on them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest
import zstandard
from tests.unit.store.rings import key_file, key_text

from cairn_runtime.cli.__main__ import main
from cairn_runtime.errors import CairnError
from cairn_runtime.store.opening import store_for

PASSWORD = "canary-password-5150"
NOWHERE = [
    "postgresql://cairn:{}@127.0.0.1:1/cairn?timeout=100ms",
    "postgresql://127.0.0.1:1/cairn?user=cairn&password={}&timeout=100ms",
    "redis://cairn:{}@127.0.0.1:1/0?timeout=100ms",
    "redis://:{}@127.0.0.1:1/0?stale=1",
    "sqlite://cairn:{}@x/y.db",
    "nothing://cairn:{}@host/x",
]
"""Servers that do not answer, and URLs that cannot be used."""


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize(
    "verb", [("runs",), ("verify",), ("store", "check"), ("store", "migrate")], ids=" ".join
)
def test_no_verb_shows_a_password(capsys, monkeypatch, verb, where):
    """For people, as a document, and with the traceback and the log of --debug."""
    monkeypatch.setenv("CAIRN_STORE_URL", where.format(PASSWORD))

    for more in ((), ("-o", "json"), ("--debug",)):
        code = main([*verb, *more])
        out, err = capsys.readouterr()
        assert code != 0
        assert out + err
        assert PASSWORD not in out + err


# -- on servers that let us in

MANIFEST = """\
apiVersion: cairn.dev/v1alpha1
kind: Workflow
metadata: {name: digest}
spec:
  state: {channels: {seen: {reducer: extend}, looked: {reducer: add, initial: 0}}}
  retry: {limit: 0}
  steps:
    - {name: here, python: "steps:look"}
    - {name: worker, python: "steps:look", timeout: 60s, needs: [here]}
    - {name: command, argv: [python3, steps.py], needs: [worker]}
    - {name: sign, approval: {message: "Send it?"}, needs: [command]}
    - {name: fail, run: "exit 3", needs: [sign]}
"""
STEPS = """\
import json, os
from pathlib import Path

def look(state):
    secrets = Path("secrets").read_text().split()
    places = [*Path("/proc").glob("[0-9]*/cmdline")]
    lines = []
    for place in places:
        try:
            lines.append(place.read_bytes().decode(errors="replace"))
        except OSError:
            pass
    seen = [word for line in lines for word in line.split("\\0") if any(one in word for one in secrets)]
    return {"seen": seen, "looked": sum("cairn_runtime" in line for line in lines)}

if __name__ == "__main__":
    Path(os.environ["CAIRN_OUTPUT"]).write_text(json.dumps(look({})))
"""
VERBS = [
    "runs",
    "checkpoints digest",
    "show digest/1",
    "state digest",
    "diff digest/1 head",
    "graph digest.yaml --run digest",
    "verify",
    "stats",
    "doctor",
    "doctor digest",
    "audit",
    "audit --verify",
    "export --all --file all.cairn",
    "import all.cairn",
    "store check",
    "store migrate",
    "store rekey",
    "pin digest/1",
    "unpin digest/1",
    "prune digest --keep-last 1",
    "signal digest nothing",
    "reject digest --step nothing",
    "resume digest --from 99",
    "approve digest --step sign",
    "run digest.yaml --in-process",
    "cancel digest",
    "watch digest",
    "release digest",
    "delete digest --yes",
    "runs {url}",
    "show {url}",
]
"""Every verb that asks a store, where it does its work and where it fails; the last delete what they saw."""


@pytest.fixture(params=["postgres", "postgres in an option", "redis"])
def locked(request, servers):
    """A server that asks for a password; answers its address and the password."""
    if request.param == "redis":
        server = servers.redis(acl="~cairn:* &* +@all -acl", settings={"maxmemory": "64mb"})
    else:
        server = servers.postgres(password=True)
    url = server.url
    if request.param == "postgres in an option":
        bare = re.sub(r":[^:@/]*@", "@", url)
        url = f"{bare}{'&' if '?' in bare else '?'}password={quote(server.password)}"
    return url, server.password


def test_no_verb_and_no_process_shows_what_lets_it_in(locked, tmp_path, monkeypatch, capfd):
    """Password and keys: not in words of processes that others list, outputs, documents, logs or exports."""
    url, password = locked
    keys = key_file(tmp_path, "one", "two")
    secrets = [password, key_text("one"), key_text("two")]
    for name, text in (("digest.yaml", MANIFEST), ("steps.py", STEPS), ("secrets", "\n".join(secrets))):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAIRN_STORE_URL", url)
    monkeypatch.setenv("CAIRN_KEYS_FILE", str(keys))

    assert main(["run", "digest.yaml", "--debug"]) == 3
    _clean(capfd, secrets)
    assert main(["state", "digest", "-o", "json"]) == 0
    state = json.loads(capfd.readouterr().out)
    assert state["seen"] == []
    assert state["looked"] >= 3
    for verb in VERBS:
        words = verb.format(url=url).split()
        for more in ((), ("-o", "json"), ("--debug",)):
            if words[0] != "graph" or "json" not in more:
                main([*words, *more])
                _clean(capfd, secrets, verb)
    exported = zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / "all.cairn").read_bytes())
    assert b"digest" in exported
    assert not any(secret.encode() in exported for secret in secrets)


def _clean(capfd, secrets, verb="run"):
    """Something was said, and nothing of it is secret."""
    said = "".join(capfd.readouterr())
    assert said, verb
    assert not any(secret in said for secret in secrets), verb


def test_a_secret_among_the_words_of_a_process_would_be_seen(tmp_path, monkeypatch):
    """The search of the test above finds one that is there."""
    (tmp_path / "secrets").write_text(PASSWORD)
    monkeypatch.chdir(tmp_path)
    scope: dict = {"__name__": "steps"}
    exec(STEPS, scope)  # noqa: S102 - the code of the steps above
    asleep = [sys.executable, "-c", "print(flush=True); input()", f"--store=redis://:{PASSWORD}@h"]
    with subprocess.Popen(asleep, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = scope["look"]({})["seen"]
        process.stdin.close()

    assert found == [asleep[-1]]


# -- URLs that cannot be used

BROKEN = [
    "{}:/user:PW@host/x",
    "{}//user:PW@host/x",
    "{}:user:PW@host/x",
    "{}://user:PW",
    "{}://user:PW/x",
    "{}://user:PW@host:port/x",
    "{}://user:PW@[host/x",
    "{}://user:a[PW]b@host/x",
    "{}://user:PW\u2100@host/x",
    "{}://user:PW@host/x?timeout=soon",
    "{}://user:PW@host/x?nonsense=1",
    "{}://user:PW@host/x#fragment",
    "{}://user:a/PW@host/x",
    "{}://user:a?PW@host/x",
    "{}://user:a#PW@host/x",
    "{}://user:a@PW@host/x",
    "{}://user:a%40PW@host/\0",
    "{}://host/x?user=me&password=PW&nonsense=1",
    "{}://host/x?user=me&password=a&PW",
    "{}://host/x?user=me&p%61ssword=PW&nonsense=1",
    "{}://host/x?sslpassword=PW&sslpassword=PW",
    "host=h user={} password=PW",
    "user:PW@host/{}",
]
SCHEMES = [
    "postgresql", "postgres", "redis", "rediss", "redis+sentinel", "rediss+sentinel",
    "sqlite", "memory", "nothing",
]  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("form", BROKEN, ids=range(len(BROKEN)))
def test_a_url_that_cannot_be_used_keeps_its_password(scheme, form):
    """Neither in the text of the error, nor its repr, nor its causes and the frames of its traceback."""
    url = form.format(scheme).replace("PW", PASSWORD)

    try:
        said = repr(store_for(url)) + store_for(url).url
    except CairnError as error:
        said = "".join([str(error), repr(error), *traceback.format_exception(error)])

    assert PASSWORD not in said
    assert PASSWORD[:12] not in said
