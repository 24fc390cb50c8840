"""Steps that run a program: what they are given, what they give back, how they fail."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.execute.calls import make_call, make_step

from cairn_runtime.engine.context import idempotency_key
from cairn_runtime.engine.execute import CodeSource, Executor
from cairn_runtime.errors import StepError, StepFailed, StepUnusable, WriteRefused

COLLECT = {"foreach": {"in": "state.urls", "collect": "pages"}}


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    made = Executor(code=CodeSource())
    yield made
    await made.close()


async def execute(executor: Executor, call: Any = None, **fields: Any) -> Any:
    action = executor.prepare(make_step(**fields))
    return (await executor.execute(action, make_call() if call is None else call)).value


async def written(executor: Executor, text: str) -> Any:
    """What becomes of a step that writes this to $CAIRN_OUTPUT."""
    return await execute(executor, make_call(item=text, index=0), argv=[sys.executable, "-c", _COPY])


_COPY = """
import json, os
open(os.environ["CAIRN_OUTPUT"], "w").write(json.load(open(os.environ["CAIRN_ITEM"])))
"""


def left_of(paths: Iterable[str]) -> list[str]:
    """Those of these files and folders that are there."""
    return [path for path in paths if Path(path).exists()]


async def test_a_command_gets_the_state_and_gives_writes(executor: Executor) -> None:
    """In a shell as without one; the state file is JSON."""
    state = {"words": 3, "text": "é\n", "pages": [{"a": None}]}

    returned = await execute(executor, make_call(state), run="cat $CAIRN_STATE > $CAIRN_OUTPUT")

    assert returned == state


async def test_a_command_knows_where_it_stands(executor: Executor) -> None:
    """By environment variables of its own; without a foreach there is no item."""
    call = make_call(visit=3, attempt=2, task="draft#3")

    returned = await execute(executor, call, argv=["sh", "-c", _JSON_OF_ENVIRONMENT])

    files = {name: returned.pop(name) for name in ("CAIRN_STATE", "CAIRN_OUTPUT")}
    assert returned == {
        "CAIRN_RUN_ID": "run-1",
        "CAIRN_STEP": "draft",
        "CAIRN_TASK": "draft#3",
        "CAIRN_VISIT": "3",
        "CAIRN_ATTEMPT": "2",
        "CAIRN_IDEMPOTENCY_KEY": idempotency_key("base", "draft#3"),
    }
    assert left_of(files.values()) == [], "its files are gone afterwards"


_JSON_OF_ENVIRONMENT = f"""{sys.executable} -c '
import json, os
found = {{k: v for k, v in os.environ.items() if k.startswith("CAIRN_")}}
json.dump(found, open(os.environ["CAIRN_OUTPUT"], "w"))'"""


async def test_an_item_is_a_file_and_its_result_any_json(executor: Executor) -> None:
    """With collect what is written is the result, no writes."""
    call = make_call(index=4, item={"url": "é"}, task="draft#1[4]")

    returned = await execute(
        executor, call, run='echo "[$CAIRN_INDEX, $(cat $CAIRN_ITEM)]" > $CAIRN_OUTPUT', **COLLECT
    )

    assert returned == [4, {"url": "é"}]


async def test_the_runners_secrets_do_not_reach_a_command(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the store's URL, the claim, the epoch, the keys; the rest of the environment does."""
    for name in ("CAIRN_STORE_URL", "CAIRN_CLAIM", "CAIRN_EPOCH", "CAIRN_KEYS_FILE", "OTHER"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("NOT_TEXT", os.fsdecode(b"\xff"))

    with pytest.raises(StepFailed) as caught:
        await execute(executor, run="env | cut -d= -f1 | sort | tr '\\n' ' ' >&2; exit 7")

    names = caught.value.message.partition(": ")[2].split()
    assert {"OTHER", "NOT_TEXT", "CAIRN_STATE"} <= set(names)
    assert not {"CAIRN_STORE_URL", "CAIRN_CLAIM", "CAIRN_EPOCH", "CAIRN_KEYS_FILE"} & set(names)


async def test_a_command_that_writes_nothing_has_no_writes(executor: Executor) -> None:
    """An empty file is as good as none."""
    assert await execute(executor, argv=["true"]) is None
    assert await written(executor, " \n") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"a": }', "line 1, column 7", id="broken JSON"),
        pytest.param("[1]", "must hold one JSON object", id="a list"),
        pytest.param('{"a": NaN}', "NaN", id="NaN"),
        pytest.param('{"a": 1, "a": 2}', 'the key "a" twice', id="a key twice"),
        pytest.param(
            '{"a": ' + json.dumps("x" * 100_000) + ", }", "line 1, column 100011", id="broken and large"
        ),
    ],
)
async def test_output_that_cannot_be_stored_fails_the_task(
    executor: Executor, text: str, message: str
) -> None:
    """WriteRefused names the place."""
    with pytest.raises(WriteRefused, match=message):
        await written(executor, text)


async def test_large_output_is_read(executor: Executor) -> None:
    """Megabytes, off the event loop."""
    returned = await written(executor, json.dumps({"a": "x" * 5_000_000}))

    assert len(returned["a"]) == 5_000_000


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        pytest.param({"run": "exit 3"}, StepFailed, "the command ended with code 3$", id="an exit code"),
        pytest.param(
            {"run": "echo one >&2; echo 'disk full' >&2; echo out; exit 3"},
            StepFailed,
            "the command ended with code 3: disk full$",
            id="the last line of standard error",
        ),
        pytest.param(
            {"run": "kill -9 $$"},
            StepFailed,
            r"killed by SIGKILL \(out of memory\?\)$",
            id="killed by a signal",
        ),
        pytest.param(
            {"run": "sh -c 'kill -15 $$' 2>/dev/null; exit 143"},
            StepFailed,
            r"ended with code 143 \(SIGTERM\)$",
            id="a signal that the shell reports",
        ),
        pytest.param(
            {"run": "absent-program"}, StepFailed, "code 127: .*not found", id="the shell finds no program"
        ),
        pytest.param(
            {"argv": ["absent-program"]}, StepUnusable, "program not found: absent-program", id="no program"
        ),
        pytest.param(
            {"argv": ["/etc/passwd"]}, StepUnusable, "not executable: /etc/passwd", id="no program file"
        ),
        pytest.param({"argv": ["/tmp"]}, StepUnusable, "not executable: /tmp", id="a folder"),  # noqa: S108
        pytest.param(
            {"argv": ["echo", *["x" * 60_000] * 60]}, StepUnusable, "too long for echo", id="a line too long"
        ),
    ],
)
async def test_how_a_command_failed_is_told_in_words(
    executor: Executor, fields: dict[str, Any], error: type[StepError], message: str
) -> None:
    """What the user's program did may be tried again; what cannot be started is not."""
    with pytest.raises(error, match=message) as caught:
        await execute(executor, **fields)

    assert caught.value.retryable == (error is StepFailed)
    assert (caught.value.error == "CommandFailed") == (error is StepFailed)


@pytest.mark.parametrize(
    ("first_line", "message"),
    [
        pytest.param(
            "#!/absent/interpreter", r"program not found: \./script \(the file is there", id="no interpreter"
        ),
        pytest.param("nothing", r"\./script cannot be run: it is no program", id="no first line"),
    ],
)
async def test_a_script_that_cannot_start_says_what_is_wrong_with_it(
    with_folder: Any, tmp_path: Path, first_line: str, message: str
) -> None:
    """`program not found` alone would send the user on a wrong track."""
    script = tmp_path / "script"
    script.write_text(f"{first_line}\n")
    script.chmod(0o755)

    with pytest.raises(StepUnusable, match=message):
        await execute(with_folder(), argv=["./script"])


async def test_commands_run_in_the_codes_folder(with_folder: Any, tmp_path: Path) -> None:
    """So that they find the user's files."""
    executor = with_folder(part="print('{}')")

    await execute(executor, run=f"pwd > where; {sys.executable} part.py")

    assert await asyncio.to_thread((tmp_path / "where").read_text) == f"{tmp_path}\n"


async def test_without_code_each_command_has_an_empty_folder_of_its_own(executor: Executor) -> None:
    """Which goes with it, whatever is in it."""
    step = {"run": 'mkdir -p a/b; touch a/b/c; chmod 500 a; echo "{\\"in\\": \\"$(pwd)\\"}" > $CAIRN_OUTPUT'}

    places = [(await execute(executor, **step))["in"] for _ in range(2)]

    assert len(set(places)) == 2
    assert left_of(places) == []


async def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """It is the folder that cannot be entered, not the program that cannot be found."""
    executor = Executor(code=CodeSource(str(tmp_path / "gone")))

    with pytest.raises(StepUnusable, match=r"the working folder .*/gone cannot be entered: No such file"):
        await execute(executor, argv=["true"])
    await executor.close()


async def test_what_a_command_prints_goes_to_the_log_line_by_line(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    """Both streams, with the task's keys; whole, in order, decoded as far as possible."""
    caplog.set_level(logging.INFO, "cairn.step")
    run = "echo one; echo two >&2; printf 'three\\r\\n\\n\\377\\nlast'"

    await execute(executor, run=run)

    told = [(vars(r)["stream"], r.getMessage(), vars(r)["task"]) for r in caplog.records]
    stdout = [line for stream, line, _ in told if stream == "stdout"]
    assert stdout == ["one", "three", "\ufffd", "last"]
    assert ("stderr", "two", "draft#1") in told


async def test_a_command_that_prints_without_end_does_not_stop_the_others(executor: Executor) -> None:
    """Its pipe is read a little at a time, so it waits for us and the event loop goes on."""
    flood = asyncio.create_task(execute(executor, run="yes"))
    await execute(executor, run="echo x")

    returned = await written(executor, '{"a": 1}')
    flood.cancel()
    await asyncio.wait([flood])

    assert returned == {"a": 1}
    assert flood.cancelled()


async def test_standard_input_is_empty(executor: Executor) -> None:
    """A command that asks a question gets no answer in place of waiting for one."""
    returned = await execute(executor, run='echo "{\\"read\\": \\"$(cat)\\"}" > $CAIRN_OUTPUT')

    assert returned == {"read": ""}


async def test_signals_are_as_a_program_expects_them(executor: Executor) -> None:
    """Nothing that the runner, its warden or its keepers handle or ignore is handed down."""
    # What is ignored by whoever started the tests (a shell does so for its background) is theirs to say;
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25).
    theirs = _ignored(Path("/proc/self/status").read_text()) | 1 << 12 | 1 << 24
    code = (
        "import pathlib, sys; "
        "lines = pathlib.Path('/proc/self/status').read_text().splitlines(); "
        "ignored = int(next(l for l in lines if l.startswith('SigIgn')).split()[1], 16); "
        f"sys.exit(1 if ignored & ~{theirs} else 0)"
    )

    assert await execute(executor, argv=[sys.executable, "-c", code]) is None


def _ignored(status: str) -> int:
    """The set of ignored signals in a process's status, as a bit set."""
    return int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)


async def test_many_commands_at_once_are_all_run(executor: Executor) -> None:
    """More than there are lanes, and more than a process may have descriptors for."""
    action = executor.prepare(make_step(run="cp $CAIRN_ITEM $CAIRN_OUTPUT", **COLLECT))

    calls = [make_call(item=n, index=n) for n in range(150)]
    returned = await asyncio.gather(*(executor.execute(action, call) for call in calls))

    assert [r.value for r in returned] == list(range(150))


async def test_a_full_disk_is_a_failure_that_may_pass(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the step's own, and says what the system said."""
    monkeypatch.setattr("tempfile.tempdir", "/proc/no-such-place")

    with pytest.raises(StepFailed, match=r"the step could not be started: .*No such file") as caught:
        await execute(executor, argv=["true"])

    assert "OSError" in caught.value.error_names
