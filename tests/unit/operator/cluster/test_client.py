"""What is sent to the API server, and what is read from it, where JSON and YAML are not the same."""

from __future__ import annotations

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cairn_operator.cluster.client import _read, yaml_text
from cairn_operator.cluster.errors import ApiGone, ApiUnreadable

ODD = "".join(
    map(chr, [*range(0xA1), 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600])
)
CHARACTERS = st.characters(exclude_categories=["Cs"])


def test_what_is_applied_reads_the_same_as_yaml():
    """An emoji in an approval's message made a status that the server could not read, for ever."""
    document = {"message": "Publish? \N{GRINNING FACE}", "odd": ODD, "path": "C:\\ud83d \\u0041"}

    assert yaml.safe_load(yaml_text(document)) == document
    assert orjson.loads(yaml_text(document)) == document


@given(st.text(CHARACTERS))
def test_any_text_reads_the_same_as_yaml(text):
    """Whatever people write into messages."""
    assert yaml.safe_load(yaml_text({text[:100]: text})) == {text[:100]: text}


def test_half_a_character_is_none():
    """A lone surrogate is in no UTF-8; a status with one would be refused whole."""
    assert yaml.safe_load(yaml_text("a\ud800b")) == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("data", [b"", b"[" * 5000 + b"]" * 5000, b"[]", b"<html>"])
def test_an_answer_that_cannot_be_read_is_no_empty_object(data):
    """An empty list of Workflows would be believed; an object nested too deep is looked at again later."""
    with pytest.raises(ApiUnreadable):
        _read(200, data)


def test_a_refusal_needs_no_words():
    """A proxy in between may answer with whatever it likes."""
    with pytest.raises(ApiGone):
        _read(404, b"<html>")
