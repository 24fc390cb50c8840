"""Shapes: what the models refuse, in plain words.

Pydantic finds missing and unknown fields, wrong types and values out of bounds; here its findings get the
paths and the words that users know, and suggestions for misspelt names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from cairn_runtime.errors import Fault
from cairn_runtime.model.durations import format_duration
from cairn_runtime.model.fields import LABEL
from cairn_runtime.model.paths import join
from cairn_runtime.model.suggestions import did_you_mean
from cairn_runtime.model.values import JSONObject
from cairn_runtime.model.workflow import API_VERSION, KIND, Model, Workflow

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ELSEWHERE = {
    "args": "argv", "command": "argv", "condition": "when", "depends": "needs", "dependsOn": "needs",
    "dependencies": "needs", "function": "python", "if": "when", "onError": "catch", "script": "run",
    "shell": "run", "withItems": "foreach", "withParam": "foreach",
}  # fmt: skip
"""Names of other workflow languages, and what they are called here."""

_PATTERNS = {
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$": (
        "a step's name",
        "lower-case letters, digits and '-', beginning with a letter, ending with no '-'",
    ),
    r"^[A-Za-z_][A-Za-z0-9_-]*$": (
        "a channel's name",
        "letters, digits, '_' and '-', beginning with a letter or '_'",
    ),
    LABEL: (
        "a name",
        "lower-case letters, digits and '-', no dots, beginning and ending with a letter or digit",
    ),
    r"^[A-Za-z_][A-Za-z0-9_]*$": ("the name of an error class", "letters, digits and '_'"),
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": (
        "a signal's name",
        "letters, digits, '_', '-' and '.', beginning with a letter or '_'",
    ),
}
_FUNCTION = ("a function", "write module:function")

_WANTED = {
    "string_type": "text", "bool_type": "true or false", "int_type": "a whole number", "float_type": "a"
    " number",
    "list_type": "a list", "dict_type": "an object", "model_type": "an object", "model_attributes_type": "an"
    " object",
}  # fmt: skip
_SHOWN = 60


def read_workflow(document: JSONObject) -> tuple[Workflow | None, list[Fault]]:
    """Build the model of a manifest, or say why it cannot be."""
    try:
        workflow = Workflow.model_validate(document, by_alias=True, by_name=False, context={"manifest": True})
    except ValidationError as error:
        return None, [_fault(detail) for detail in error.errors(include_url=False)]
    return workflow, []


def _fault(detail: ErrorDetails) -> Fault:
    location = [part for part in detail["loc"] if part != "[key]"]
    return Fault(join("", location), _words(detail, location))


def _words(detail: ErrorDetails, location: list[int | str]) -> str:
    kind, given, facts = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _WANTED:
        return _type(kind, given)
    say = _SAY.get(kind)
    if say is not None:
        return say(given, facts, location)
    return detail["msg"]


def _type(kind: str, given: object) -> str:
    wanted = _WANTED[kind]
    advice = ""
    if kind == "string_type" and isinstance(given, bool | int | float):
        advice = "; put it in quotes"
    elif kind == "list_type" and given is not None and not isinstance(given, dict):
        advice = f"; write [{_shown(given)}]"
    elif kind in ("int_type", "float_type", "bool_type") and isinstance(given, str):
        advice = "; write it without quotes"
    return f"this must be {wanted}, not {_described(given)}{advice}"


def _missing(_given: object, _facts: dict[str, Any], _location: list[int | str]) -> str:
    return "is missing"


def _unknown(_given: object, _facts: dict[str, Any], location: list[int | str]) -> str:
    name = str(location[-1])
    known = _fields_at(location[:-1])
    if name in ELSEWHERE and ELSEWHERE[name] in known:
        return f'unknown field; did you mean "{ELSEWHERE[name]}"?'
    plain = name.replace("_", "")
    hint = f'; did you mean "{plain}"?' if plain in known else did_you_mean(plain, known)
    return f"unknown field{hint}"


def _choice(given: object, facts: dict[str, Any], location: list[int | str]) -> str:
    if location == ["apiVersion"]:
        return f"this is {_shown(given)}; Cairn reads {API_VERSION}"
    if location == ["kind"]:
        return f"this is {_shown(given)}; Cairn reads {KIND}"
    choices = [choice.strip("'") for choice in facts["expected"].replace(" or ", ", ").split(", ")]
    hint = did_you_mean(given, choices) if isinstance(given, str) else ""
    return f"{_shown(given)} is not one of {', '.join(choices)}{hint}"


def _pattern(given: object, facts: dict[str, Any], _location: list[int | str]) -> str:
    name, rule = _PATTERNS.get(facts["pattern"], _FUNCTION)
    return f"{_shown(given)} cannot be {name}: {rule}"


def pattern_words(pattern: str) -> str:
    """Say what a pattern of the models asks for, for the reference."""
    return _PATTERNS.get(pattern, ("", "module:function"))[1]


def _too_long(given: object, facts: dict[str, Any], _location: list[int | str]) -> str:
    bound = facts["max_length"]
    if isinstance(given, str):
        return f"longer than {bound} characters ({len(given)})"
    return f"more than {bound} entries ({facts.get('actual_length')})"


def _too_short(_given: object, _facts: dict[str, Any], _location: list[int | str]) -> str:
    return "is empty"


def _bound(given: object, facts: dict[str, Any], _location: list[int | str]) -> str:
    if "gt" in facts:
        return f"must be longer than {format_duration(facts['gt'])}"
    least, most = facts.get("ge"), facts.get("le")
    limit = f"at least {least:g}" if least is not None else f"at most {most}"
    return f"must be {limit}, not {_shown(given)}"


def _value(_given: object, facts: dict[str, Any], _location: list[int | str]) -> str:
    return str(facts["error"])


_SAY: dict[str, Callable[[object, dict[str, Any], list[int | str]], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _too_long,
    "too_long": _too_long,
    "string_too_short": _too_short,
    "too_short": _too_short,
    "greater_than": _bound,
    "greater_than_equal": _bound,
    "less_than_equal": _bound,
    "value_error": _value,
}


def _fields_at(location: list[int | str]) -> list[str]:
    """List the fields of the model that stands at a location."""
    kind: type[Model] | None = Workflow
    parts = iter(location)
    for part in parts:
        annotation = _aliases(kind).get(str(part)) if kind is not None else None
        kind = _model_in(annotation)
        if get_origin(annotation) in (list, dict):
            next(parts, None)  # the index or key leads to the model that was found already
    return [] if kind is None else list(_aliases(kind))


def _aliases(model: type[Model]) -> dict[str, Any]:
    """Map a model's fields, as the manifest calls them, to their types."""
    return {field.alias or to_camel(name): field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[Model] | None:  # noqa: ANN401 - any type expression
    """Find the model in `Step`, `Step | None`, `list[Step]` or `dict[str, Channel]`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return f'"{value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."}"'
    return _described(value)


def _described(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return f"the text {_shown(value)}"
        case bool() | None:
            return _shown(value)
        case int() | float():
            return f"the number {value}"
    return type(value).__name__
