from __future__ import annotations

import os
from pathlib import Path

import pytest

from cairn_runtime.engine.execute import outputs
from cairn_runtime.engine.execute.outputs import parse, read_output
from cairn_runtime.errors import WriteRefused


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}, id="plain JSON"),
        pytest.param(b' \n{"a": 1}\n ', {"a": 1}, id="blanks around it"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="a byte order mark"),
        pytest.param('{"é": "\U0001f600"}'.encode(), {"é": "\U0001f600"}, id="UTF-8"),
        pytest.param(b'{"a": 18446744073709551615}', {"a": 2**64 - 1}, id="the largest integer"),
    ],
)
def test_one_json_document_is_read(data: bytes, expected: object) -> None:
    """As any JSON reader would."""
    assert parse(data) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b'{"a": 1,\n "b": }', "line 2, column 7: Expecting value", id="broken JSON"),
        pytest.param(b'{"a": 1} {"b": 2}', "line 1, column 10: Extra data", id="two documents"),
        pytest.param(b"{'a': 1}", "line 1, column 2", id="Python in place of JSON"),
        pytest.param(b'{"a": NaN}', "holds NaN, which is not JSON", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "holds -Infinity", id="infinity"),
        pytest.param(b'{"a": 1e999}', "a: inf is not a JSON number", id="a number beyond all doubles"),
        pytest.param(b'{"a": {"b": 1, "b": 2}}', 'the key "b" twice', id="a key twice"),
        pytest.param(b'\n\n{"a": "\xff"}', "not UTF-8: line 3, byte 9", id="bytes that are no text"),
        pytest.param(
            b'{"a": "\\ud800"}',
            ": a: character 0 of the text is half a surrogate",
            id="half a surrogate pair",
        ),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", "cannot be read", id="a number of 5,000 digits"),
        pytest.param(
            b'{"a": 36893488147419103232}', "a: an integer beyond 64 bits", id="an integer too large"
        ),
        pytest.param(b"[" * 300 + b"]" * 300, "nested deeper than 200", id="300 lists in each other"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "nested too deeply", id="lists without end"),
        pytest.param(b'{"a": "\n"}', "Invalid control character", id="a bare newline in a string"),
    ],
)
def test_what_another_reader_would_understand_differently_is_refused(data: bytes, message: str) -> None:
    """WriteRefused names $CAIRN_OUTPUT and, where there is one, the place."""
    with pytest.raises(WriteRefused, match=message) as caught:
        parse(data)

    assert caught.value.message.startswith("$CAIRN_OUTPUT")


@pytest.mark.parametrize("content", [None, b"", b" \n\t"], ids=["no file", "an empty file", "blanks"])
def test_a_step_that_wrote_nothing_writes_nothing(tmp_path: Path, content: bytes | None) -> None:
    """With and without collect."""
    path = tmp_path / "output.json"
    if content is not None:
        path.write_bytes(content)

    assert read_output(str(path), any_value=False) is None
    assert read_output(str(path), any_value=True) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [("[1]", "a list"), ('"x"', "a string"), ("7", "a number"), ("true", "a boolean"), ("null", "null")],
)
def test_writes_are_an_object_while_a_result_may_be_anything(tmp_path: Path, content: str, kind: str) -> None:
    """Only in a foreach with collect is the value the item's result."""
    path = tmp_path / "output.json"
    path.write_text(content)

    with pytest.raises(WriteRefused, match=f"holds {kind}; it must hold one JSON object"):
        read_output(str(path), any_value=False)
    assert str(read_output(str(path), any_value=True)).lower() in {content, content.strip('"'), "none"}


def test_output_beyond_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is asked for before anything is read."""
    monkeypatch.setattr(outputs, "MAX_OUTPUT_BYTES", 2 * 1024**2)
    path = tmp_path / "output.json"
    with path.open("wb") as file:
        file.truncate(5 * 1024**2)

    with pytest.raises(WriteRefused, match="holds 5 MiB; at most 2 MiB"):
        read_output(str(path), any_value=False)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_something_else_in_the_files_place_does_not_hold_the_run_up(tmp_path: Path, kind: str) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    path = tmp_path / "output.json"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()

    with pytest.raises(WriteRefused, match="no longer a regular file"):
        read_output(str(path), any_value=False)
