"""What may come next, for the shell: `kubectl cairn <TAB>`.

kubectl starts `kubectl_complete-cairn` with the words that were typed, the last one maybe empty, and reads a
candidate a line, a tab and what it means, and at last a directive: 4 keeps the shell from naming files, 0
lets it. Nothing is ever said on standard error here, and what cannot be found out is left out.
Source: KEP 2379, "Shell Completion Support"; the numbers are cobra's ShellCompDirective.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from cairn_runtime.cli.kubectl import CHECKPOINTS, WORKFLOWS, Kubectl, Target
from cairn_runtime.errors import CairnError

NO_FILES, FILES = ":4", ":0"
_PLACES = {
    "--context": "context",
    "--namespace": "namespace",
    "-n": "namespace",
    "--kubeconfig": "kubeconfig",
}


def main() -> int:
    """Answer the shell."""
    words = sys.argv[1:]
    sys.stdout.write("".join(f"{line}\n" for line in completed(words)))
    return 0


def completed(words: Sequence[str]) -> list[str]:
    """Candidates for the last word, and the directive."""
    from cairn_runtime.cli.app import CLUSTER_SECTIONS, build_app

    *before, last = words or [""]
    group: Any = typer.main.get_command(build_app(sections=CLUSTER_SECTIONS))
    verb = next((word for word in before if word in group.commands), "")
    if not verb:
        found = [f"{name}\t{command.get_short_help_str(60)}" for name, command in group.commands.items()]
        return [*(one for one in found if one.startswith(last)), NO_FILES]
    command = group.commands[verb]
    if last.startswith("-"):
        return [*(one for one in _options(command) if one.startswith(last)), NO_FILES]
    option = next((one for one in command.params if before[-1] in one.opts and not _is_switch(one)), None)
    if option is not None:
        values = _values(option, before, verb)
    else:
        values = _arguments(command, before, verb)
    if values is None:
        return [FILES]
    return [*(one for one in values if one.startswith(last)), NO_FILES]


def _options(command: Any) -> list[str]:  # noqa: ANN401 - the parser's own types are private
    return [
        f"{option}\t{' '.join((param.help or '').split())}"
        for param in command.params
        if param.param_type_name == "option"
        for option in param.opts
        if option.startswith("--")
    ]


def _is_switch(param: Any) -> bool:  # noqa: ANN401 - the parser's own types are private
    return param.param_type_name != "option" or bool(getattr(param, "is_flag", False))


def _values(option: Any, before: Sequence[str], verb: str) -> list[str] | None:  # noqa: ANN401 - the same
    """What an option takes; None: a file."""
    if "--output" in option.opts:
        return ["table", "json", "yaml"]
    if "--kubeconfig" in option.opts:
        return None
    if "--namespace" in option.opts:
        return _names(before, "get", "namespaces", "--output=name")
    if "--context" in option.opts:
        return _names(before, "config", "get-contexts", "--output=name")
    if "--from" in option.opts:
        given = before[before.index(verb) + 1 :]
        who = next((word for word in given if not word.startswith("-")), "")
        return ["head", "start", *_checkpoints(before, who)]
    return []


def _arguments(command: Any, before: Sequence[str], verb: str) -> list[str] | None:  # noqa: ANN401 - the same
    """What a verb takes; None: a file."""
    metavar = next((p.metavar or "" for p in command.params if p.param_type_name == "argument"), "")
    takes_value = {opt for p in command.params if not _is_switch(p) for opt in p.opts}
    given = before[before.index(verb) + 1 :]
    told = [
        w
        for n, w in enumerate(given)
        if not w.startswith("-") and (n == 0 or given[n - 1] not in takes_value)
    ]
    if told:
        return []
    if "FILE" in metavar:
        return None
    if "CHECKPOINT" in metavar:
        return _checkpoints(before, "")
    return _names(before, "get", WORKFLOWS, "--output=name") if "WORKFLOW" in metavar else []


def _checkpoints(before: Sequence[str], workflow: str) -> list[str]:
    select = (f"--selector=cairn.dev/workflow={workflow}",) if workflow else ()
    return _names(before, "get", CHECKPOINTS, "--output=name", *select)


def _names(before: Sequence[str], *words: str) -> list[str]:
    """Names that kubectl lists, in the place that was typed; none where it does not answer."""
    typed = {}
    for n, word in enumerate(before):
        option, equals, value = word.partition("=")
        if option in _PLACES:
            typed[_PLACES[option]] = value if equals else (before[n + 1] if n + 1 < len(before) else "")
    try:
        said = Kubectl(Target(**typed)).say(*words, "--request-timeout=3s")
    except CairnError:
        return []
    return [line.rpartition("/")[2] for line in said.splitlines()]
