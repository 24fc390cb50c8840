"""Reading a manifest's text: what it comes out as, and bounds that hold before anything is expanded."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.errors import ManifestInvalid
from cairn_runtime.model.reading import MAX_TEXT_BYTES, read_manifest

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def read(text):
    """Read text as if it came from a file."""
    return read_manifest(text, source="flow.yaml")


def faults(text):
    """The faults of text that is refused."""
    with pytest.raises(ManifestInvalid) as refused:
        read(text)
    return [str(fault) for fault in refused.value.faults]


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_every_json_object_is_read_as_itself(value):
    """JSON is YAML, and is read value for value, escaped surrogate pairs and all."""
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, ensure_ascii=False)) == value


@given(st.dictionaries(st.sampled_from(["a", "b-c", "d e"]), JSON, max_size=3))
def test_what_pyyaml_writes_is_read_back(value):
    """Block style, quotes with their escapes, and tags come out as the same values."""
    text = yaml.safe_dump(value, default_style='"')

    assert read("# yaml\n" + text) == value


def test_bytes_may_begin_with_a_byte_order_mark():
    """Editors on Windows write one."""
    assert read(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_empty_documents_around_the_manifest_are_ignored():
    """Templates often leave lone separators."""
    assert read("---\n---\n# comment\n---\na: 1\n---\n...\n---\n") == {"a": 1}


def test_a_quoted_scalar_is_text():
    """Quotes and tags of text keep a value from being read as anything else."""
    assert read("a: '1'\nb: \"yes\"\nc: !!str 3\nd: ! 4\n") == {"a": "1", "b": "yes", "c": "3", "d": "4"}


def test_a_tag_of_a_plain_type_is_allowed():
    """A tag that names what JSON can hold changes nothing."""
    assert read("a: !!int '3'\nb: !!map {c: !!seq [1]}\nd: !!timestamp 2024-01-01\n") == {
        "a": 3,
        "b": {"c": [1]},
        "d": "2024-01-01",
    }


def test_an_alias_gives_a_value_of_its_own():
    """Changing one place of the object that was read changes no other."""
    found = read("a: &x {k: [1]}\nb: *x\n")

    found["b"]["k"].append(2)

    assert found == {"a": {"k": [1]}, "b": {"k": [1, 2]}}


def test_an_anchor_can_be_given_again():
    """The alias means the last one before it."""
    assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_merged_keys_give_way_to_the_mapping_and_to_earlier_ones():
    """The order of YAML's merge key."""
    text = "a: &a {k: a, x: a}\nb: &b {k: b, z: b}\nc: {<<: [*a, *b], k: c}\n"

    assert read(text)["c"] == {"k": "c", "x": "a", "z": "b"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "a: {<<: 3}",
            'a["<<"]: << takes a mapping or a list of mappings (line 1, column 9)',
            id="merge of a number",
        ),
        pytest.param(
            "a: {? [x]\n: {b: 1, b: 2}}",
            'a["?"]: YAML reads this key as a collection, and keys are text (line 1, column 7)',
            id="a list as a key",
        ),
        pytest.param(
            "a: \ud800",
            "flow.yaml: holds half of a surrogate pair, which is not text",
            id="half a surrogate pair",
        ),
        pytest.param(
            '{"a": "\\ud800"}',
            "flow.yaml: line 1, column 10: found invalid Unicode character escape code",
            id="half a pair, escaped",
        ),
        pytest.param('{"a": Infinity}', "flow.yaml: Infinity is not a JSON number", id="infinity in JSON"),
        pytest.param(
            '{"a": 1e999}', "flow.yaml: 1e999 is not a JSON number", id="a float out of range in JSON"
        ),
        pytest.param(
            "%YAML 3.0\n---\na: 1",
            "flow.yaml: line 1, column 1: found incompatible YAML document",
            id="a version of YAML to come",
        ),
        pytest.param(
            "a: |\n\tx",
            "flow.yaml: line 2, column 1: a tab cannot indent YAML; use spaces (while scanning a block"
            " scalar that began at line 1)",
            id="a tab in a block",
        ),
    ],
)
def test_what_is_no_json_is_refused(text, fault):
    """Corners that no fixture has."""
    assert faults(text)[0] == fault


def test_text_over_the_bound_is_refused_before_it_is_parsed():
    """A mebibyte is four times what a spec may have."""
    assert faults("a: " + "x" * MAX_TEXT_BYTES) == [
        (
            "flow.yaml: 1025 KiB of text; a manifest may have 1024 KiB,"
            " larger code comes by codeFrom or the image"
        )
    ]


@pytest.mark.parametrize(
    "opening", ["[", '{"a":', "- ", "a: ["], ids=["lists", "objects", "blocks", "lists below"]
)
def test_deep_nesting_is_refused_without_recursion(opening):
    """A hundred thousand brackets cost neither the stack nor time."""
    text = opening * (MAX_TEXT_BYTES // len(opening) - 10)

    assert faults(text)[-1].startswith("flow.yaml: line 1, column ")


def test_an_anchor_bomb_is_refused_before_it_expands():
    """Ten aliases of ten aliases, thirty levels deep, would be more atoms than there are."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 31)]

    assert "over 1024 KiB once its aliases are expanded" in faults("\n".join(lines))[-1]


def test_only_the_first_hundred_faults_are_listed():
    """A file that is something else entirely fills no screen."""
    found = faults("\n".join(f"{n}: x" for n in range(500)))

    assert len(found) == 101
    assert found[-1] == "flow.yaml: and more; these are the first hundred faults"
