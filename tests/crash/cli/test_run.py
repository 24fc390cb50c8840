"""`cairn run` and what follows it, as real processes: documents, answers, forks, kills and interrupts."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess

import pytest
from tests.crash.cli.terminal import CAIRN, cairn, environment, rest, running, until

pytestmark = pytest.mark.slow
ENDED = ["run", "thread", "phase", "state", "head", "checkpoints", "restarts", "reason", "waits"]


def run(folder, *args, **more):
    """`cairn run tour.yaml` for a program."""
    return cairn("run", "tour.yaml", "-o", "json", *args, cwd=folder, **more)


@pytest.mark.parametrize("how", [(), ("--in-process",)], ids=["in a runner", "in this process"])
def test_standard_output_is_one_document_whatever_steps_print(folder, how):
    """What steps print goes to standard error, also what is written past Python; waiting is exit code 3."""
    said = run(folder, *how)

    assert said.code == 3
    assert list(said.document) == ENDED
    assert (said.document["phase"], said.document["restarts"]) == ("Waiting", 0)
    assert said.document["state"]["places"] == ["A", "B", "C", "D", "E", "F"]
    assert said.document["state"]["text"] == "draft 2"
    [wait] = said.document["waits"]
    assert (wait["task"], wait["kind"], wait["message"]) == ("sign#1", "approval", "Send it?")
    # Two threads that print at once may mix their lines, here as in any Python program.
    assert "seen" in said.err
    assert "written past everything" in said.err
    assert "check#1 | checking" in said.err
    assert said.document["head"]["seq"] == said.document["checkpoints"] == 11


def test_what_is_printed_for_people_can_be_pasted(folder, trace):
    """The commands that answer a wait, and the one that goes on, are exact."""
    waits = cairn("run", "tour.yaml", cwd=folder)
    assert waits.code == 3
    assert "sign waits for an approval: Send it?" in waits.out
    commands = re.findall(r"cairn (approve .*|run .*)$", waits.out, re.MULTILINE)

    answered = cairn(*shlex.split(commands[0]), cwd=folder)
    assert answered.code == 0
    assert re.findall(r"go on with: cairn (.*)$", answered.out, re.MULTILINE) == [commands[1]]
    done = cairn(*shlex.split(commands[1]), cwd=folder)
    assert done.code == 0
    assert "tour succeeded" in done.out
    assert trace().count("send") == 1
    assert cairn("state", "tour", "-o", "json", cwd=folder).document["text"] == "sent"


def test_a_rejection_is_an_answer_too(folder):
    """The run goes on, and the step sees it."""
    assert run(folder).code == 3
    assert cairn("reject", "tour", "--step", "sign", cwd=folder).code == 0

    said = run(folder)
    assert (said.code, said.document["state"]["text"]) == (0, "kept")


def test_a_killed_runner_is_told_of_and_nothing_runs_twice(folder, trace):
    """SIGKILL in the middle of the fourth item: committed ones never run again, the restart is visible."""
    said = cairn("run", "tour.yaml", "--kill-at", "visit#1[3]", cwd=folder)

    assert said.code == 3
    assert "killed the runner in the middle of visit#1[3], as asked (--kill-at)" in said.out
    told = re.search(
        r"runner died \(SIGKILL\); restarting, epoch 2, going on from checkpoint (\d+)", said.out
    )
    assert told is not None
    before = int(told[1])
    lines = [line for line in said.out.splitlines() if re.match(r"\S+ +\d+  ", line)]
    assert [int(line.split()[1]) for line in lines] == list(range(1, 12))
    assert lines[before - 1] in said.out.split("runner died")[0]
    assert "1 restart" in said.out
    again = [line for line in trace() if line.startswith("visit") and trace().count(line) > 1]
    committed = {line.split()[2] for line in lines[:before]}
    assert all(f"visit#1[{'abcdef'.index(line[-1])}]" not in committed for line in again)
    assert cairn("verify", "tour", cwd=folder).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_drains_and_the_run_goes_on(folder, number):
    """Exit code 130, the exact command that goes on, and nothing lost."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", "--set", "pace=0.01", "--set", "note=a b", cwd=folder) as process:
        assert process.stdout is not None
        until(lambda: "visit#1[2]" in process.stdout.readline())
        process.send_signal(number)
        # Let go before it is heard, the run might be over first.
        until(lambda: "draining; again to stop at once" in process.stdout.readline())
        (folder / "hold").unlink()
        out = rest(process)

    assert process.returncode == 130
    assert "tour stopped, and can go on" in out
    assert "Running (drained" in cairn("runs", cwd=folder).out
    [again] = set(re.findall(r"go on with: cairn (.*)$", out, re.MULTILINE))
    said = cairn(*shlex.split(again), "-o", "json", cwd=folder)
    assert (said.code, said.document["state"]["places"]) == (3, ["A", "B", "C", "D", "E", "F"])
    assert said.document["state"]["note"] == "a b"


def test_a_second_interrupt_stops_at_once(folder):
    """A step that does not end cannot hold the terminal."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", cwd=folder) as process:
        assert process.stdout is not None
        until(lambda: "visit#1[2]" in process.stdout.readline())
        process.send_signal(signal.SIGINT)
        until(lambda: "draining" in process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest(process)

    assert process.returncode == 130
    (folder / "hold").unlink()
    assert run(folder).code == 3


def test_a_run_goes_on_after_everything_was_killed(folder, trace):
    """`kill -9` for the command itself: its runner notices, and the same command goes on."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", cwd=folder) as process:
        assert process.stdout is not None
        until(lambda: "visit#1[2]" in process.stdout.readline())
        process.kill()
    (folder / "hold").unlink()

    said = cairn("run", "tour.yaml", cwd=folder)
    assert said.code == 3
    assert said.out.startswith("going on with run ")
    assert [trace().count(f"visit {name}") for name in "abc"] == [1, 1, 1]


def test_a_second_command_takes_the_run_over(folder):
    """One writer: the first ends as superseded, and says how to follow; the second one's result counts."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", "-o", "json", cwd=folder) as first:
        until(lambda: len(cairn("checkpoints", "tour", "-o", "json", cwd=folder).document or []) > 1)
        with running("run", "tour.yaml", "-o", "json", cwd=folder) as second:
            until(lambda: cairn("runs", "-o", "json", cwd=folder).document[0]["epoch"] == 2)
            (folder / "hold").unlink()
            out = rest(second)
        lost = rest(first)

    assert (first.returncode, second.returncode) == (75, 3)
    assert json.loads(lost)["error"]["reason"] == "Superseded"
    assert json.loads(out)["state"]["places"] == ["A", "B", "C", "D", "E", "F"]


def test_a_failed_run_goes_on_from_where_it_failed(folder, trace):
    """Exit code 1 with the error in the document; after mending, only what was not done runs."""
    (folder / "broken").touch()
    assert run(folder).code == 3
    assert cairn("approve", "tour", cwd=folder).code == 0
    failed = run(folder)
    assert failed.code == 1
    assert list(failed.document) == [*ENDED, "error"]
    assert (failed.document["phase"], failed.document["reason"]) == ("Failed", "StepFailed")
    assert failed.document["error"]["message"] == "send#1 failed after 4 attempts: ValueError: no stamps"
    (folder / "broken").unlink()

    told = cairn("resume", "tour", "--from", "head", cwd=folder)
    assert told.code == 0
    assert re.match(r"run \w{8} goes on from checkpoint \d+ of run \w{8}\n", told.out)
    assert [trace().count(f"visit {name}") for name in "abcdef"] == [1] * 6
    newest, old = cairn("runs", "-o", "json", cwd=folder).document
    assert (newest["phase"], old["phase"]) == ("Succeeded", "Failed")
    assert newest["origin"]["run"] == old["run"]


def test_people_are_told_what_failed_and_what_to_do(folder):
    """The task, the error, the traceback of the step's own code, and the command that goes on."""
    (folder / "broken").touch()
    cairn("run", "tour.yaml", cwd=folder)
    cairn("approve", "tour", cwd=folder)

    said = cairn("run", "tour.yaml", cwd=folder)
    assert said.code == 1
    assert "send#1 failed after 4 attempts: ValueError: no stamps" in said.out
    assert "cairn resume tour --from head --file tour.yaml" in said.out
    assert 'send#1 |     raise ValueError("no stamps")' in said.err
    assert said.err.count("Traceback") == 1


def test_a_fork_goes_on_with_a_changed_state(folder):
    """From any checkpoint, with a patch, as if a step had written it; the old run stays as it was."""
    assert run(folder).code == 3
    before = cairn("checkpoints", "tour", "-o", "json", cwd=folder).document

    said = cairn(
        "resume", "tour", "--from", "8", "--patch", '{"text": "mine", "score": 9}', "--as-step", "draft",
        "-o", "json", cwd=folder,
    )  # fmt: skip
    assert said.code == 3
    assert (said.document["state"]["text"], said.document["state"]["score"]) == ("mine", 9)
    fork, old = cairn("runs", "-o", "json", cwd=folder).document
    assert (fork["origin"]["seq"], fork["origin"]["asStep"]) == (8, "draft")
    assert (old["phase"], old["reason"]) == ("Cancelled", "Forked")
    assert cairn("checkpoints", old["run"], "-o", "json", cwd=folder).document == before


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (("--as-step", "drafft"), '--as-step: unknown step "drafft"; did you mean "draft"?'),
        (("--steps", "draft,chek"), '--steps: unknown step "chek"; did you mean "check"?'),
        (("--skip", "sing"), '--skip: unknown step "sing"; did you mean "sign"?'),
        (("--patch", "{"), "--patch: not JSON at line 1, column 2"),
        (("--patch", "[1]"), "--patch: must be a JSON object"),
        (("--patch", '{"txt": 1}'), '--patch txt: channel "txt" is not declared'),
        (("--kill-at", "sign"), '--kill-at: "sign" waits and runs nothing; name a step that runs'),
        (("--file", "missing.yaml"), "missing.yaml: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_fork_that_cannot_be_is_refused_before_anything_is_touched(folder, args, fault):
    """Exit code 2, what may have been meant, and the old run is still waiting."""
    assert run(folder).code == 3

    said = cairn("resume", "tour", "--from", "8", *args, cwd=folder)
    assert (said.code, said.out) == (2, "")
    assert fault in said.err
    assert [row["phase"] for row in cairn("runs", "-o", "json", cwd=folder).document] == ["Waiting"]


def test_a_fork_with_a_mended_file_runs_the_mended_steps(folder):
    """`--file` brings another manifest; without it a changed spec is refused, and both ways on are named."""
    assert run(folder).code == 3
    text = (folder / "tour.yaml").read_text()
    (folder / "tour.yaml").write_text(text.replace("echo checking", "echo looking"))

    refused = run(folder)
    assert (refused.code, refused.document["error"]["reason"]) == (2, "SpecChanged")
    assert "--new" in refused.document["error"]["message"]
    assert "cairn resume tour --from head --file tour.yaml" in refused.document["error"]["message"]
    mended = cairn("resume", "tour", "--from", "9", "--file", "tour.yaml", "-o", "json", cwd=folder)
    assert mended.code == 3
    assert "check#2 | looking" in mended.err
    assert run(folder, "--new").code == 3
    assert len(cairn("runs", "-o", "json", cwd=folder).document) == 3


def test_input_is_laid_over_the_files_own(folder):
    """`--input` by name, `--set` on top of it; the same again goes on with the same run."""
    (folder / "more.json").write_text('{"names": ["x", "y"], "pace": 0.01}')

    said = run(folder, "--input", "@more.json", "--set", "pace=0", "--set", "note=fine")
    assert said.document["state"]["places"] == ["X", "Y"]
    assert (said.document["state"]["pace"], said.document["state"]["note"]) == (0, "fine")
    again = run(folder, "--input", "@more.json", "--set", "pace=0", "--set", "note=fine")
    assert again.document["run"] == said.document["run"]
    other = run(folder)
    assert (other.code, other.document["error"]["reason"]) == (2, "SpecChanged")


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (("--kill-at", "vsit"), '--kill-at: unknown step "vsit"; did you mean "visit"?'),
        (("--kill-at", "visit#x"), '--kill-at: "visit#x" is not a task'),
        (
            ("--kill-at", "draft", "--in-process"),
            "--kill-at: kills the runner's process; leave out --in-process",
        ),
        (("--store", "memory:"), "--store: memory: lives in one process only; add --in-process"),
        (("--input", "{names: []}"), "--input: not JSON at line 1, column 2"),
        (("--set", "names"), '--set: "names" is not name=value'),
        (("--store", "redis://h/zero"), "what follows the host is the number of a database"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_that_cannot_be_is_refused_before_a_store_is_made(folder, args, fault):
    """Exit code 2, and the folder stays as it was."""
    said = cairn("run", "tour.yaml", *args, cwd=folder)

    assert (said.code, said.out) == (2, "")
    assert fault in said.err
    assert not (folder / ".cairn").exists()


def test_a_reader_that_goes_away_does_not_stop_the_run(folder):
    """`cairn run | head -1`: the run goes on to its end."""
    line = f"{shlex.join([*CAIRN, 'run', 'tour.yaml'])} | head -1; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.splitlines()[1] == "3"
    assert "Error" not in done.stderr
    assert cairn("runs", "-o", "json", cwd=folder).document[0]["phase"] == "Waiting"


def test_a_list_that_is_cut_off_is_quiet(folder):
    """`cairn checkpoints | head -1` prints no error."""
    run(folder)

    line = f"{shlex.join([*CAIRN, 'checkpoints', 'tour'])} | head -1"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert (done.stdout.split()[0], done.stderr) == ("SEQ", "")


def test_watch_tells_what_happens_as_it_happens(folder):
    """Lines of JSON while the run runs, in order and without a gap, through the wait to the end."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", cwd=folder) as first:
        until(lambda: len(cairn("checkpoints", "tour", "-o", "json", cwd=folder).document or []) > 1)
        with running("watch", "tour", "-o", "json", cwd=folder) as watch:
            assert watch.stdout is not None
            seen = [json.loads(watch.stdout.readline())]
            (folder / "hold").unlink()
            rest(first)
            cairn("approve", "tour", cwd=folder)
            cairn("run", "tour.yaml", cwd=folder)
            out = rest(watch)
    seen += [json.loads(line) for line in out.splitlines()]

    assert watch.returncode == 0
    assert [event["seq"] for event in seen if event["type"] == "checkpoint"] == list(range(1, 14))
    phases = [event["phase"] for event in seen if event["type"] == "run"]
    assert phases[-1] == "Succeeded"
    assert "Waiting" in phases


def test_a_runner_that_is_gone_is_told_of(folder):
    """A run that is Running with nobody to run it says so in every list."""
    (folder / "hold").touch()
    with running("run", "tour.yaml", cwd=folder) as process:
        until(lambda: len(cairn("checkpoints", "tour", "-o", "json", cwd=folder).document or []) > 1)
        process.kill()
    (folder / "hold").unlink()
    until(lambda: "Running (drained" in cairn("runs", cwd=folder).out)

    assert cairn("runs", "-o", "json", cwd=folder).document[0]["phase"] == "Running"
