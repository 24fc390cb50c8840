"""CEL: what an expression gives, what it reads, and the words of its errors."""

from __future__ import annotations

import sys

import pytest

from cairn_runtime.errors import ExpressionFailed, ManifestInvalid
from cairn_runtime.model.cel_trees import TreeUnreadable
from cairn_runtime.model.expressions import MAX_LENGTH, compile_expression

STATE = {
    "score": 6.5,
    "count": 3,
    "tone": "dry",
    "urls": ["a", "b"],
    "sign": {"approved": True, "value": None},
    "ask-legal": {"approved": False},
    "nothing": None,
    "flag": True,
    "mixed": [1, "a"],
}
VISITS = {"draft": 2}
INPUT = {"limit": 3}


def compiled(source):
    """Compile as if it stood at `spec.x`."""
    return compile_expression(source, "spec.x")


def evaluate(source, item=None):
    """Compile and evaluate on the state above."""
    return compiled(source).evaluate(state=STATE, visits=VISITS, input=INPUT, item=item)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("state.score < 7 && visits.draft < 4", True, id="a float compares with an integer"),
        pytest.param("state.count == 3.0", True, id="an integer equals a float"),
        pytest.param("state.count + 1", 4, id="integers stay integers"),
        pytest.param("state.score + 1.0", 7.5, id="floats stay floats"),
        pytest.param("state.urls", ["a", "b"], id="a channel alone"),
        pytest.param('state["ask-legal"].approved', False, id="a name in brackets"),
        pytest.param("state.urls.map(u, u + '!')", ["a!", "b!"], id="a list made of a list"),
        pytest.param("{'n': size(state.urls)}", {"n": 2}, id="a map"),
        pytest.param("state.nothing == null", True, id="null"),
        pytest.param("has(state.other)", False, id="a channel that is not there can be asked for"),
        pytest.param("'tone' in state", True, id="the state as a whole"),
        pytest.param("visits.never", 0, id="a step that was never entered"),
        pytest.param("input.limit == state.count", True, id="input"),
        pytest.param("item.n > 1", True, id="an item"),
        pytest.param("item", {"n": 2}, id="an item alone"),
        pytest.param("18446744073709551615u", 2**64 - 1, id="an unsigned integer"),
        pytest.param("state.urls.exists(state, state == 'b')", True, id="a name that hides a variable"),
    ],
)
def test_an_expression_gives_plain_json(source, value):
    """What comes out is what a step could have written."""
    found = evaluate(source, item={"n": 2})

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "channels"),
    [
        ("state.score < 7 && visits.draft < 4", {"score"}),
        ("state['ask-legal'].approved || state.sign.approved", {"ask-legal", "sign"}),
        ("has(state.score) ? state.a : state.b", {"score", "a", "b"}),
        ("[state.a, {state.b: state.c}]", {"a", "b", "c"}),
        ("state.urls.map(u, u + state.tone)", {"urls", "tone"}),
        ("state.urls.all(state, state.x == 1)", {"urls"}),
        ("state.`a-b`", {"a-b"}),
        ("item > 1", set()),
        ("state", None),
        ("'a' in state", None),
        ("state[item]", None),
        ("state.map(k, k)", None),
    ],
)
def test_channels_are_the_names_that_are_read(source, channels):
    """None stands for the state as a whole; a name that a comprehension binds is no variable."""
    assert compiled(source).channels == (None if channels is None else frozenset(channels))


def test_what_else_is_read_is_known():
    """The engine asks, so that it hands over no more than is needed."""
    condition = compiled("item > 1 && visits.draft < input.limit")

    assert (condition.uses_item, condition.uses_visits, condition.uses_input) == (True, True, True)
    assert (condition.visited, condition.inputs) == (frozenset({"draft"}), frozenset({"limit"}))
    assert compiled("state.a").uses_item is False
    assert compiled("1 < 2").uses_visits is False


def test_names_are_found_where_they_stand():
    """Validation points at the column of an unknown name."""
    found = compiled("state.a > 1 &&\n  has(state.b)").references()

    assert [(read.name, read.place, read.tested) for read in found] == [
        ("a", "line 1, column 6", False),
        ("b", "line 2, column 6", True),
    ]


def test_a_list_that_is_only_named_is_not_sent_through_cel():
    """Ten thousand items and more can be gone through, as long as the expression does not."""
    urls = [{"n": n} for n in range(20_000)]

    found = compiled("state.urls").items(state={"urls": urls}, visits={}, input={})

    assert found == urls
    assert found[0] is not urls[0]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("state.other", 'column 6: the state has no channel "other"'),
        ("input.other == 1", 'column 6: the input has no "other"'),
        ("state.sign.other", 'column 11: there is no "other"'),
        ("state.sign['a']", 'column 12: there is no "a"'),
        ("state.nothing.x", "column 14: reads a field of a value that has none, e.g. of null"),
        ("state.urls[9]", "column 11: the list has no position 9, only 2 items"),
        ("state.urls['a']", "column 11: a list is indexed by integers, not by text"),
        ("state.count / 0", "column 13: division by zero"),
        ("state.count % 0 == 0", "column 13: division by zero"),
        (
            "state.score + 1",
            (
                'column 13: "+" does not take a float and an integer;'
                " turn the integer into a float: 1.0 or double(...)"
            ),
        ),
        ("state.tone > 3", 'column 12: ">" does not take text and an integer'),
        ("-state.tone == 1", 'column 1: "-" does not take text'),
        ("!state.count", 'column 1: "!" takes true and false only'),
        ("state.tone && state.flag", 'column 12: "&&" takes true and false only'),
        ("state.count ? 1 : 2", "column 13: the condition before ? is neither true nor false"),
        ("3 in state.tone", 'column 3: "in" looks into a list or a map only'),
        ("state.tone.all(x, x > 1)", "goes through a value that is neither a list nor a map"),
        ("size(state.count)", "column 5: size() does not take an integer"),
        ("state.mixed.map(x, x + 1)", 'column 22: "+" does not take text and an integer'),
        ("state.tone.matches('(')", "invalid regular expression: missing ): ("),
        ("{1: 2}", "result: the key 1 is not a string"),
        ("1.0 / 0.0", "result: inf is not a JSON number"),
        ("duration('3s')", "result is a duration, which is not JSON"),
        (
            "[timestamp('2024-01-01T00:00:00Z')]",
            "result[0] is a timestamp, which is not JSON",
        ),
        ("type(state.count)", "result is a type, which is not JSON"),
        ("b'x'", "result is bytes, which is not JSON"),
    ],
)
def test_a_failed_evaluation_names_field_position_and_reason(source, problem):
    """The text that a person reads in the run's error."""
    with pytest.raises(ExpressionFailed) as failed:
        evaluate(source)

    assert failed.value.message == f"spec.x: {problem}"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("state.nothing", None),
        ("[state.sign.value, null]", [None, None]),
        ("state", STATE),
        ("{'a': null}", {"a": None}),
        ("state.nothing == null ? state.sign.value : 1", None),
    ],
)
def test_nulls_do_not_wear_out_none(source, value):
    """The library's own conversion gives references to None away; Python 3.11 dies after some thousand."""
    expression = compiled(source)
    before = sys.getrefcount(None)

    found = [expression.evaluate(state=STATE, visits=VISITS, input=INPUT) for _ in range(3000)]

    assert found == [value] * 3000
    del found
    assert sys.getrefcount(None) > before - 1000


def test_going_through_too_many_items_is_stopped():
    """Nested comprehensions over a long list are bounded by their sum, whoever wrote them."""
    state = {"l": list(range(200))}

    with pytest.raises(ExpressionFailed, match="goes through 10,000 items or more; do this in a step"):
        compiled("state.l.all(a, state.l.all(b, a + b >= 0))").evaluate(state=state, visits={}, input={})


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("state.score <", "column 14: the expression ends too early"),
        ("[1, 2", "column 6: the expression ends where {']', ','} is missing"),
        ("true ? 1", "column 9: the expression ends where ':' is missing"),
        ("state.a b", 'column 9: did not expect "b"'),
        ("state.a = 1", 'column 9: did not expect "="; CEL compares with =='),
        ("state.a or true", 'column 9: did not expect "or"; CEL writes || for "or"'),
        ("state.in", 'column 7: "in" is a word of CEL; to read a key of this name write ["in"]'),
        ("state..a", 'column 7: did not expect "."'),
        ("'abc", "column 1: a text is not closed, or holds an escape that CEL does not know"),
        ("state.a # note", 'column 9: "#" cannot stand in an expression outside of text in quotes'),
        ("score > 1", 'column 1: unknown name "score"; an expression reads state, visits, input and item'),
        ("lower(state.a)", 'column 6: unknown function "lower", or not with so many arguments'),
        ("state.ask-legal", 'column 11: a name with "-" needs brackets: state["ask-legal"]'),
        ("matches(3, {'a': [1]})", "column 8: matches() does not take an integer and a map"),
        ("1 < 'a'", 'column 3: "<" does not take an integer and text'),
        ("'a'.b", "column 4: expression of type 'string' cannot be the operand of a select operation"),
        ("size({'a': [1]}, 2)", 'column 5: unknown function "size", or not with so many arguments'),
        (" ", "the expression is empty"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper than 32 levels, or a chain of more than 31 operators"),
        ("1" + " + 1" * 40, "nested deeper than 32 levels, or a chain of more than 31 operators"),
        ("a" * (MAX_LENGTH + 1), "longer than 1024 characters; do this in a step"),
    ],
)
def test_what_does_not_compile_is_a_fault_with_its_position(source, problem):
    """The text that a person reads from `cairn validate`."""
    with pytest.raises(ManifestInvalid) as refused:
        compiled(source)

    assert str(refused.value.faults[0]) == f"spec.x: {problem}"


@pytest.mark.parametrize(
    ("source", "result", "problem"),
    [
        ("1 + 1", "bool", "gives an integer; a condition must give true or false"),
        ("true", "list", "gives a boolean; this must give a list"),
        ("{}", "list", "gives a map; this must give a list"),
    ],
)
def test_a_result_that_cannot_fit_is_a_fault(source, result, problem):
    """Types that are known without the state are judged without it."""
    with pytest.raises(ManifestInvalid) as refused:
        compile_expression(source, "spec.x", result=result)

    assert str(refused.value.faults[0]) == f"spec.x: {problem}"


@pytest.mark.parametrize(("source", "given"), [("state.count", "a number"), ("state.nothing", "null")])
def test_a_condition_is_true_or_false_and_nothing_else(source, given):
    """There is no truthiness: 0, "" and null are no answers to a condition."""
    with pytest.raises(ExpressionFailed) as failed:
        compiled(source).truth(state=STATE, visits=VISITS, input=INPUT)

    assert failed.value.message == f"spec.x: gives {given}; a condition must give true or false"


def test_the_list_of_a_foreach_is_a_list():
    """A map or a text can be gone through in Python, but not here."""
    with pytest.raises(ExpressionFailed) as failed:
        compiled("state.sign").items(state=STATE, visits=VISITS, input=INPUT)

    assert failed.value.message == "spec.x: gives a map; foreach goes through a list"


def test_a_tree_that_cannot_be_read_hands_over_everything(monkeypatch):
    """A new form of the library's trees costs speed and columns, not correctness."""
    from cairn_runtime.model import expressions  # noqa: PLC0415 - the module whose reader is replaced

    def unreadable(_serialised):
        raise TreeUnreadable

    monkeypatch.setattr(expressions, "read_tree", unreadable)
    condition = compiled("state.count < input.limit + visits.draft + item")

    assert condition.channels is None
    assert condition.truth(state=STATE, visits=VISITS, input=INPUT, item=0) is True
