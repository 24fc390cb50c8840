"""The door that every write passes: is the channel known, is the value JSON, does it fold, does it fit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from cairn_runtime.channels.cells import Cells, build_cells, implied_channels
from cairn_runtime.errors import WriteRefused
from cairn_runtime.model.workflow import Spec

STEPS = [{"name": "work", "python": "steps:work"}]


def spec(channels=None, *, steps=STEPS, strict=True, **more) -> Spec:
    """A spec with these channels."""
    state = {"channels": channels or {}, "strict": strict}
    return Spec.model_validate({"state": state, "steps": steps, **more})


def longer(old, new):
    """A reducer of one's own: keep the longer list."""
    return max(old or [], new, key=len)


def cells(channels=None, **more) -> Cells:
    """Its cells; whatever function the manifest names is `longer`."""
    return build_cells(spec(channels, **more), lambda _reference: longer)


class Page(BaseModel):
    """A model, as a step may return one."""

    title: str


@dataclass
class Size:
    """A dataclass, as a step may return one."""

    words: int


def test_a_write_goes_through_the_channels_reducer():
    """Declared, with the reducer by its name or by the function that it names."""
    made = cells({"pages": {"reducer": "append"}, "best": {"reducer": "python: steps:longer"}})

    assert made.write("pages", 2, [1]).value == [1, 2]
    assert made.write("best", [1], [2, 3]).value == [2, 3]


def test_models_and_dataclasses_are_dumped():
    """What a step returns becomes plain JSON before anything else happens to it."""
    folded = cells({"pages": {}}).write("pages", [Page(title="a"), Size(3)], None)

    assert folded.operand == [{"title": "a"}, {"words": 3}]


@pytest.mark.parametrize(
    ("channel", "value", "said"),
    [
        ("page", 1, 'channel "page" is not declared in spec.state.channels'),
        (7, 1, "a write's channel is a name, not 7"),
        ("pages", [{"when": object()}], "pages[0].when: object is not JSON"),
        ("pages", float("nan"), "pages: nan is not a JSON number"),
        ("total", "a", "total: add cannot put text to a number"),
    ],
    ids=["an unknown channel", "a name that is none", "no JSON", "not a number", "against the reducer"],
)
def test_a_write_that_cannot_be_stored_is_refused(channel, value, said):
    """With the channel's name, or the path into the value."""
    made = cells({"pages": {}, "total": {"reducer": "add", "initial": 0}})

    with pytest.raises(WriteRefused) as refused:
        made.write(channel, value, 0)

    assert refused.value.message == said


def test_without_strict_an_undeclared_channel_takes_any_value():
    """It behaves as if it had been declared with nothing said."""
    folded = cells(strict=False).write("page", 1, None)

    assert (folded.op, folded.value) == ("replace", 1)


def test_a_schema_judges_the_channels_new_value():
    """Not the write alone: what an append makes of the list has to fit."""
    made = cells({"pages": {"reducer": "append", "schema": {"maxItems": 2}}})

    assert made.write("pages", "b", ["a"]).value == ["a", "b"]
    with pytest.raises(WriteRefused, match=r"^pages: does not fit its schema: "):
        made.write("pages", "c", ["a", "b"])


def test_setting_a_channel_passes_its_reducer_by_and_its_schema_not():
    """Input and patches say what the value is, not what to add to it."""
    made = cells({"total": {"reducer": "add", "schema": {"type": "number"}}})

    assert (made.set("total", 5).op, made.set("total", 5).value) == ("set", 5)
    with pytest.raises(WriteRefused, match=r"^total: does not fit its schema: "):
        made.set("total", "five")
    with pytest.raises(WriteRefused, match='"page" is not declared'):
        made.set("page", 1)


def test_what_the_manifest_implies_needs_no_declaration():
    """Input, answers, collected results and the caught error; they take the last value without a conflict."""
    asked = spec(
        input={"urls": []},
        steps=[
            {"name": "fetch", "python": "steps:fetch", "foreach": {"in": "state.urls", "collect": "pages"}},
            {"name": "sign", "approval": {}},
            {"name": "call", "signal": {"name": "called"}},
        ],
    )

    assert list(implied_channels(asked)) == ["urls", "pages", "sign", "call", "error"]
    assert build_cells(asked, lambda _reference: longer).write("urls", [1], None).op == "set"


def test_a_declaration_wins_over_what_is_implied():
    """Who declares an input's channel says how writes to it fold, and what it starts with."""
    made = cells({"urls": {"reducer": "extend", "initial": ["a"]}}, input={"urls": []})

    assert made.write("urls", ["b"], ["a"]).value == ["a", "b"]
    assert made.initial["urls"] == ["a"]
