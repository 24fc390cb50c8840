"""Write docs/reference/cli.md from the command line itself.

    python docs/generate_cli.py            write the page
    python docs/generate_cli.py --check    fail if it is not what the code says; changes nothing

What every verb takes comes from the parser, so that the page cannot name an option that is not there.
"""

# ruff: noqa: E501 - a sentence of a page stands on one line
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cairn_runtime.cli.app import CLUSTER_SECTIONS, SECTIONS, Sections, build_app

PAGE = Path(__file__).parent / "reference" / "cli.md"
_PLACES = ("-n", "--namespace", "--context", "--kubeconfig")
_SHARED = {"--store", "--output", "--debug", "--help", *_PLACES[1:]}

_HEAD = """\
# The command line

`cairn VERB --help` shows the same as this page.
Written by `docs/generate_cli.py` from the code; change the code, then run `make docs`.

Every verb that reads or writes a store takes `--store URL`; without it the environment variable `CAIRN_STORE_URL` counts, and without that the file `.cairn/cairn.db` in the present folder.
A verb that only reads never makes a file or a folder for a store; in Postgres the tables are made by whoever opens them first, whatever the verb.

Every verb takes `-o table`, `-o json` or `-o yaml`.
With `json` and `yaml` standard output is one document and nothing else (`watch`: one line, or one YAML document, for each event); what steps print goes to standard error.
`--debug` shows the log, and the traceback of an error.

Shell completion: `cairn --install-completion`.
"""

_CLUSTER = """\
# On a cluster

`kubectl cairn` is the same program for Workflows on a cluster: it speaks through the kubectl on the PATH, with its contexts and your rights, and opens no store.
A verb that only one of the two has is found under both names.
Where both have it, `--store` means the store, and `--context`, `--namespace`, `--kubeconfig` or `--nonce` the cluster; else the name decides.
What only the store knows (`approve`, `state`, `diff`, ...) is asked with its address, also as `kubectl cairn`.

Every verb takes `--context`, `-n`/`--namespace` and `--kubeconfig` as kubectl does; those that list take `-A`.
[How to use it](../howto/use-kubectl-cairn.md).

Completion: kubectl asks `kubectl_complete-cairn`, which is installed beside it.
"""

_TAIL = """\
## Names

| what | how it is written |
| --- | --- |
| a run | the name of its Workflow (its newest run), `namespace/name`, either with `@thread` (the newest run of that thread), the run's id, its last 8 characters, or the beginning of its id |
| a checkpoint | its id, its last 8 characters, the beginning of its id, or `RUN/SEQ` such as `digest/7`; where a run is named already also `7`, `head` or `start` |

A name that fits nothing says what may have been meant; one that fits several things names them all.

## Exit codes

The reasons behind them are in [errors](errors.md).

| code | means |
| --- | --- |
| 0 | done |
| 1 | the run failed or was cancelled, or `verify` or `doctor` found something, or an answer came too late |
| 2 | wrong usage, or a manifest that is not valid |
| 3 | the run waits for an answer |
| 4 | no such run, Workflow or checkpoint, or no store yet |
| 69 | the store does not answer, or the cluster, or the operator in it |
| 70 | a fault of Cairn itself |
| 75 | another runner has taken the run over, or somebody cancelled or forked it meanwhile |
| 78 | this run, or this installation, cannot go on: the reason says why |
| 130 | interrupted; the run was drained and can go on |

## Documents

Keys are never renamed or taken away.
Moments are RFC 3339 in UTC, sizes are bytes, ids are whole, lists are newest first.

| what | keys |
| --- | --- |
| checkpoint | `id, run, workflow, seq, step, visit, item, next, kind, bytes, hash, parent, epoch, createdAt` |
| `show` | the same, and `metadata, digest, graphHash, formatVersion, events` |
| run, also of `cancel` | `run, workflow, thread, phase, epoch, head: {seq, id}, origin, reason, traceId, createdAt, updatedAt` |
| `run`, `resume` | `run, thread, phase, state, head: {seq, id}, checkpoints, restarts, reason, waits` |
| `resume`, `fork` on a cluster | `workflow, run, checkpoint, nonce` |
| a Workflow on a cluster: `get`, `submit`, `watch`, `pause`, `unpause`, `cancel` | `namespace, workflow, phase, progress, step, run, epoch, pod, head, restarts, reason, message, waits, lastResume, createdAt`; `get WORKFLOW` also `conditions` |
| `checkpoints`, `pin` and `unpin` on a cluster | a checkpoint with `name, pinned` |
| `tree` | a Workflow with `runs: [{run, origin, pods, checkpoints}]` |
| `doctor` | `healthy, findings: [{level, what, mend}]` |
| `watch` | a checkpoint with `type: checkpoint`, or a run with `type: run` and `waits` |
| `state` | the channels by name |
| `diff` | a JSON patch (RFC 6902): a list of `op, path, value` |
| `validate` | `valid, files: [{file, workflow, valid, faults, warnings}]` |
| `verify` | `sound, runs: [{run, workflow, checkpoints, head: {seq, id, hash}, sound, unread, findings: [{first, last, reason, message, fault}]}]` |
| `graph` | `workflow, steps: [{name, what, standing, visits}], edges: [{from, to, kind, when, loop}]` |
| `approve`, `reject`, `signal` | `run, workflow, name, number, value, createdAt`; an approval also `task, approved` |
| an error | `error: {reason, message, faults: [{path, message}]}`, on standard output beside the exit code |

A failed run, an invalid file and an unsound history come as their own document with `error` in it.
Phases are `Pending`, `Running`, `Waiting`, `Suspended`, `Succeeded`, `Failed` and `Cancelled`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [_HEAD, *_verbs("cairn", SECTIONS), _CLUSTER, *_verbs("kubectl cairn", CLUSTER_SECTIONS), _TAIL]
    )


def _verbs(program: str, sections: Sections) -> Iterator[str]:
    """The verbs of one set, by what they are for."""
    group: Any = typer.main.get_command(build_app(sections=sections))
    for title, verbs in sections.items():
        yield f"## {title}{' on a cluster' if sections is CLUSTER_SECTIONS else ''}\n"
        for verb, example in verbs:
            yield (
                "\n".join(_verb(f"{program} {verb.__name__}", group.commands[verb.__name__], example)) + "\n"
            )


def _verb(title: str, command: Any, example: str) -> Iterator[str]:  # noqa: ANN401 - the parser's own types are private
    yield f"### {title}\n"
    yield f"{command.help}\n"
    yield f"For example: `{example}`\n"
    own = [param for param in command.params if not _SHARED & set(param.opts)]
    if own:
        yield "| argument | meaning |"
        yield "| --- | --- |"
        yield from (_row(param) for param in own)
        yield ""
    places = _PLACES if _has(command, "--namespace") else ()
    shared = [option for option in ("--store", *places, "--output", "--debug") if _has(command, option)]
    yield f"And {', '.join(f'`{option}`' for option in shared)}."


def _row(param: Any) -> str:  # noqa: ANN401 - the parser's own types are private
    """A row of the table: how the argument is written, and what it means."""
    metavar = param.metavar or ""
    name = metavar if param.param_type_name == "argument" else f"{', '.join(param.opts)} {metavar}".strip()
    needed = " Needed." if param.required and param.param_type_name == "option" else ""
    return f"| `{_cell(name)}` | {_cell(' '.join((param.help or '').split()))}{needed} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _has(command: Any, option: str) -> bool:  # noqa: ANN401 - the parser's own types are private
    return any(option in param.opts for param in command.params)


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE} is not what the code says; run: make docs", file=sys.stderr)
            return 1
        return 0
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
