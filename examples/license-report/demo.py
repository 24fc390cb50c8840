"""Shows in half a minute what Cairn promises, and proves it.

It runs this folder's workflow, has its runner killed with SIGKILL in the middle, lets it go on, and then
compares what was committed with what really ran: each task leaves a line in a file, outside of all
checkpoints.
Every command is shown as it is typed. Exit code 1 if one of the proofs fails.

    python examples/license-report/demo.py [FOLDER]      FOLDER: where to work; default: a new temporary one
"""

import argparse
import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import steps
import yaml

HERE = Path(__file__).parent
WATCHING_SECONDS = 5.0
"""How long the foreach takes, so that a person sees it; without the pace it is over at once."""
STRICT: dict[str, Any] = {
    "title": "Licences, by a stricter rule",
    "warn_about": ["strong copyleft", "weak copyleft"],
    "report": "strict.md",
}
"""What the fork changes in the state."""


class Stage:
    """Where the demo speaks: plain text, with a little colour on a terminal."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(
                errors="replace"
            )  # a terminal that has no check mark shows a question mark
        plain = os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR") or os.environ.get("CI")
        self.lively = sys.stdout.isatty() and not plain
        self.failed: list[str] = []
        self._act = 0

    def act(self, title: str) -> None:
        """Begin the next part."""
        self._act += 1
        print(f"\n{self._styled('1', f'{self._act}. {title}')}", flush=True)

    def tell(self, *lines: str) -> None:
        """Say something."""
        for line in lines:
            print(f"   {line}", flush=True)

    def command(self, text: str) -> None:
        """Show what is typed."""
        print(self._styled("36", f"$ {text}"), flush=True)

    def prove(self, claim: str, *, holds: bool) -> None:
        """Say whether a claim holds, and remember those that do not."""
        sign = self._styled("32", "✓") if holds else self._styled("31", "✗")
        print(f"   {sign} {claim}", flush=True)
        if not holds:
            self.failed.append(claim)

    def _styled(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.lively else text


class Shell:
    """Runs `cairn` in one folder, as a user would there."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        # The demo is about its own store; where your own runs are kept is none of its business.
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
        self._env["PYTHONUNBUFFERED"] = "1"

    def show(self, *args: str) -> None:
        """Show a command, run it, and let everybody see what it says."""
        self._stage.command(" ".join(["cairn", *map(shlex.quote, args)]))
        if self._stage.lively:
            code = self._process(args).wait()
        else:
            code = self._folded(args)
        if code:
            raise SystemExit(f"cairn {args[0]} ended with code {code}")

    def ask(self, *args: str) -> Any:  # noqa: ANN401 - JSON
        """Run a command for what it answers."""
        process = self._process((*args, "-o", "json"), stdout=subprocess.PIPE)
        out, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"cairn {args[0]} ended with code {process.returncode}: {out}")
        return json.loads(out)

    def _folded(self, args: tuple[str, ...]) -> int:
        """Run a command for no terminal: of a hundred lines that say the same a few are enough."""
        process = self._process(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if process.stdout is not None:
            for line in folded(line.rstrip() for line in process.stdout):
                print(line, flush=True)
        return process.wait()

    def _process(self, args: tuple[str, ...], **options: Any) -> "subprocess.Popen[str]":  # noqa: ANN401 - Popen's
        command = [sys.executable, "-m", "cairn_runtime.cli", *args]
        return subprocess.Popen(command, cwd=self._folder, env=self._env, text=True, **options)


def folded(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the middle of long stretches of lines about one item each."""
    stretch: list[str] = []
    for line in lines:
        if re.search(r"classify#1\[\d+\] ", line):
            stretch.append(line)
            continue
        yield from _ends(stretch)
        stretch = []
        yield line
    yield from _ends(stretch)


def _ends(stretch: list[str]) -> list[str]:
    if len(stretch) < 6:
        return stretch
    return [*stretch[:2], f"    ... {len(stretch) - 4} more ...", *stretch[-2:]]


def main() -> int:
    """Play the demo."""
    parser = argparse.ArgumentParser(description="A workflow survives kill -9.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to work; default: a new temporary folder")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="cairn-demo-"))
    if folder.exists() and any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    started = time.monotonic()
    stage = Stage()
    try:
        play(stage, folder)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what there is so far is in {folder}")
        return 130
    return finish(stage, folder, time.monotonic() - started)


def play(stage: Stage, folder: Path) -> None:
    """Play the four acts."""
    prepare(stage, folder)
    shell = Shell(stage, folder)
    run_and_kill(stage, shell)
    rows = shell.ask("checkpoints", "license-report")
    prove_nothing_ran_twice(stage, shell, rows, traced(folder))
    seq = next(int(row["seq"]) for row in rows if row["step"] == "classify")
    look_back(stage, shell, seq)
    fork(stage, shell, folder, seq)


def prepare(stage: Stage, folder: Path) -> None:
    """Copy the example to where the demo works."""
    shutil.copytree(HERE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".cairn"))
    channels = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in STRICT.items())
    (folder / "strict.json").write_text(f"{{\n{channels}\n}}\n", encoding="utf-8")
    print("Cairn: a workflow that survives the death of its process.", flush=True)
    stage.tell(
        "It reads the licence of every Python distribution on this machine, one",
        "task for each, and writes a report. Checkpoints go to SQLite; there is",
        "no cluster, no server, no network.",
    )
    stage.command(f"cp -r examples/license-report/. {folder}; cd {folder}")


def run_and_kill(stage: Stage, shell: Shell) -> None:
    """Run the workflow; its runner is killed in the middle of the foreach."""
    spec = yaml.safe_load((HERE / "workflow.yaml").read_text(encoding="utf-8"))["spec"]
    parallelism = next(step["foreach"]["parallelism"] for step in spec["steps"] if "foreach" in step)
    items = len(steps.find(spec["input"])["distributions"])
    pace = round(min(1.0, WATCHING_SECONDS * parallelism / items), 2)
    stage.act(f"Run it, and kill -9 the runner halfway through {items} items")
    stage.tell("--kill-at does the killing, so that it falls in the middle of a task.")
    shell.show(
        *("run", "workflow.yaml", "--set", f"pace={pace}", "--set", "trace=trace.jsonl"),
        *("--kill-at", f"classify#1[{items // 2}]"),
    )


def prove_nothing_ran_twice(
    stage: Stage, shell: Shell, rows: list[dict[str, Any]], trace: list[dict[str, Any]]
) -> None:
    """Compare the checkpoints with the trace that the tasks left outside of them."""
    stage.act("Did anything that was committed run again?")
    items = [row for row in rows if row["item"] is not None]
    committed = [task(row) for row in items]
    before = {task(row) for row in items if row["epoch"] == 1}
    killed = trace[0]["pid"]
    first = {line["task"] for line in trace if line["pid"] == killed}
    second = {line["task"] for line in trace if line["pid"] != killed}
    results = len(shell.ask("state", "license-report")["packages"])
    epoch = shell.ask("runs", "license-report")[0]["epoch"]

    stage.tell(f"The first runner, process {killed}, began {len(first)} tasks and committed {len(before)}.")
    stage.tell(f"The second one began {len(second)}: what was not committed yet.")
    stage.prove("one runner was killed, a second one went on", holds=epoch == 2 and bool(first and second))
    stage.prove(f"committed by the first and run again: {len(before & second)}", holds=not before & second)
    cut_off = first - before
    stage.prove(f"cut off by the kill and run again: {len(cut_off)}", holds=first & second == cut_off)
    stage.prove(
        f"{results} results from {len(committed)} committed tasks, none of them twice",
        holds=len(set(committed)) == len(committed) == results and first | second == set(committed),
    )
    stage.prove(f"{len(trace)} calls in all", holds=len(trace) == results + len(cut_off))


def traced(folder: Path) -> list[dict[str, Any]]:
    """What the tasks left behind outside of all checkpoints."""
    return [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]


def task(checkpoint: dict[str, Any]) -> str:
    """The task that a checkpoint belongs to."""
    return f"{checkpoint['step']}#{checkpoint['visit']}[{checkpoint['item']}]"


def look_back(stage: Stage, shell: Shell, seq: int) -> None:
    """Show the newest checkpoints, the proof of the whole history, and what the last steps changed."""
    stage.act("Look back")
    shell.show("checkpoints", "license-report", "--limit", "5")
    shell.show("verify", "license-report")
    stage.tell("", "What did the steps after the last item change?")
    shell.show("diff", f"license-report/{seq}", "head")


def fork(stage: Stage, shell: Shell, folder: Path, seq: int) -> None:
    """Go back to before the summary, change the rule, and go on from there as a new run."""
    stage.act("Go back, change the state, and go on from there")
    stage.tell(f"Checkpoint {seq} is before the summary.", "A new run begins there, with a stricter rule.")
    parent = shell.ask("runs", "license-report")[0]
    calls = len(traced(folder))
    stage.command("cat strict.json")
    print((folder / "strict.json").read_text(encoding="utf-8"), end="", flush=True)
    shell.show("resume", "license-report", "--from", str(seq), "--patch", "@strict.json")
    shell.show("runs", "license-report")
    child, *others = shell.ask("runs", "license-report")

    changed = changed_lines(folder / "licences.md", folder / STRICT["report"])
    stage.tell("", "strict.md against licences.md:", *(f"  {line}" for line in changed[:6]))
    if len(changed) > 6:
        stage.tell(f"  ... and {len(changed) - 6} more")
    stage.prove("the new report follows the new rule", holds=f"+# {STRICT['title']}" in changed)
    again = len(traced(folder)) - calls
    stage.prove(f"distributions that were read again for it: {again}", holds=again == 0)
    old_is_whole = child["origin"]["run"] == parent["run"] and others[0] == parent
    stage.prove("the old run is as it was", holds=old_is_whole)


def changed_lines(old: Path, new: Path) -> list[str]:
    """What is different between two texts, without the marks of where."""
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (old, new))
    diff = list(difflib.unified_diff(before, after, lineterm="", n=0))
    return [line for line in diff[2:] if not line.startswith("@@")]


def finish(stage: Stage, folder: Path, seconds: float) -> int:
    """Say how it went, and where everything is."""
    stage.act("Done" if not stage.failed else "Not as promised")
    stage.tell(*(f"this does not hold: {claim}" for claim in stage.failed))
    stage.tell(f"{seconds:.0f} seconds. Reports, trace and checkpoints are still there:")
    stage.command(f"cd {folder}")
    stage.command(f"{Path(sys.executable).with_name('cairn')} show license-report/head")
    stage.tell("and away with them:")
    stage.command(f"rm -r {folder}")
    return 1 if stage.failed else 0


if __name__ == "__main__":
    sys.exit(main())
