"""What is typed as JSON is read, or refused with the place where it goes wrong."""

from __future__ import annotations

import re

import pytest

from cairn_runtime.cli.inputs import read_json, read_object, set_values
from cairn_runtime.errors import InvalidInput

UNQUOTED = (
    "expecting property name enclosed in double quotes"
    " (the shell takes quotes away: put the whole JSON in '...')"
)


def faults(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    """The faults as a person sees them."""
    return [str(fault) for fault in error.value.faults]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--value: not JSON at line 1, column 1: it is empty"),
        ('{"a": }', "--value: not JSON at line 1, column 7: expecting value"),
        ('{"a": 1,\n "b" 2}', "--value: not JSON at line 2, column 6: expecting ':' delimiter"),
        ("{a: 1}", f"--value: not JSON at line 1, column 2: {UNQUOTED}"),
        ("NaN", "--value: not JSON: NaN is not a JSON number"),
        ("[1e999]", "--value: [0]: inf is not a JSON number"),
        ('{"a": 99999999999999999999}', "--value: a: an integer beyond 64 bits; write it as a string"),
        (
            "hello",
            "--value: not JSON at line 1, column 1: expecting value; a text is quoted twice: '\"hello\"'",
        ),
        ("1 2", "--value: not JSON at line 1, column 3: extra data"),
    ],
)
def test_bad_json_names_the_option_and_the_place(text, message):
    """The reader is told where to look, and what a shell may have done."""
    with pytest.raises(InvalidInput) as error:
        read_json(text, "--value")

    assert faults(error) == [message]


def test_json_nested_without_end_is_refused():
    """A hostile value ends in a fault, not in the interpreter's recursion limit."""
    with pytest.raises(InvalidInput, match="--value: "):
        read_json("[" * 100_000, "--value")


def test_json_comes_from_a_file(tmp_path):
    """`@FILE` reads a file; what is wrong in it names the file."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"a": [1]}')
    bad.write_text("{")

    assert read_json(f"@{good}", "--input") == {"a": [1]}
    with pytest.raises(InvalidInput, match=re.escape(f"--input @{bad}: not JSON at line 1")):
        read_json(f"@{bad}", "--input")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"\xff"), "not UTF-8; save the file as UTF-8"),
    ],
    ids=["it is missing", "it is a folder", "it is no text"],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, make, problem):
    """The fault names the option and the file."""
    path = tmp_path / "input.json"
    make(path)

    with pytest.raises(InvalidInput) as error:
        read_json(f"@{path}", "--input")
    assert faults(error) == [f"--input @{path}: {problem}"]


@pytest.mark.parametrize("text", ["[1]", "3", "null", '"text"'])
def test_an_object_is_asked_for_by_example(text):
    """Input is named values; a list or a number has no names."""
    with pytest.raises(InvalidInput, match="must be a JSON object such as"):
        read_object(text, "--input")


@pytest.mark.parametrize(
    ("settings", "result"),
    [
        (["tone=dry"], {"tone": "dry", "limits": {"pages": 3}}),
        (["tone="], {"tone": "", "limits": {"pages": 3}}),
        (["tone=a=b"], {"tone": "a=b", "limits": {"pages": 3}}),
        (["limits.pages=4"], {"limits": {"pages": 4}}),
        (["limits.words.most=9"], {"limits": {"pages": 3, "words": {"most": 9}}}),
        (['names=["a"]'], {"names": ["a"], "limits": {"pages": 3}}),
        (["on=true", "on=false"], {"on": False, "limits": {"pages": 3}}),
        (['version="1.10"'], {"version": "1.10", "limits": {"pages": 3}}),
        (["x=NaN"], {"x": "NaN", "limits": {"pages": 3}}),
    ],
)
def test_set_goes_as_deep_as_its_name_and_reads_json_where_it_is(settings, result):
    """A value that is no JSON is text; the last of two wins."""
    own = {"limits": {"pages": 3}}

    assert set_values(own, settings) == result
    assert own == {"limits": {"pages": 3}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tone", '"tone" is not name=value'),
        ("=dry", '"=dry" is not name=value'),
        ("a..b=1", '"a..b=1" is not name=value'),
        ("limits.pages.most=1", '"limits.pages.most=1": limits.pages is 3, not an object'),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting, message):
    """The fault shows what was typed."""
    with pytest.raises(InvalidInput, match="--set: ") as error:
        set_values({"limits": {"pages": 3}}, [setting])

    assert message in faults(error)[0]
