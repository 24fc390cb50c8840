"""From YAML events to one value: the half of the reading that knows YAML.

PyYAML parses; its composer and constructor are not used, because they recurse, expand anchors before anybody
can count, and know YAML types that JSON does not.
Faults with a path are collected; what makes further reading pointless ends it at once.

Called by `reading` only. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeAlias

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.paths import at_index, at_key
from cairn_runtime.model.scalars import ScalarRefused, resolve
from cairn_runtime.model.values import JSONObject, JSONValue, copy_json

Event: TypeAlias = Any
"""PyYAML's event; the classes of its C parser have no stubs."""
NOTHING: Final[Any] = object()
"""No value at all, which null is not."""

MAX_EXPANDED_BYTES = 1024**2
MAX_LEVELS = 100
MAX_FAULTS = 100

_YAML = "tag:yaml.org,2002:"
_TYPED = frozenset(_YAML + name for name in ("int", "float", "bool", "null", "timestamp"))
_TEXT = frozenset({"!", _YAML + "str"})
_COLLECTIONS = frozenset({None, "!", _YAML + "map", _YAML + "seq"})
_HINTS = {
    "mapping values are not allowed in this context": "a text with ': ' in it needs quotes",
    "did not find expected key": "is the indentation right?",
    "did not find expected '-' indicator": "is the indentation right?",
}


def compose(data: bytes, source: str) -> Any:  # noqa: ANN401 - JSON or NOTHING
    """Read the only document that is not empty; `NOTHING` if all are.

    Raises:
        ManifestInvalid: for syntax, bounds, keys, tags, numbers; see the head of `reading`.
    """
    import yaml  # noqa: PLC0415 - a tenth of the start-up time, and JSON does without

    composer = _Composer(source)
    try:
        for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        composer.stop(_syntax(error, data))
    except yaml.reader.ReaderError as error:
        before = data.decode()[: error.position].encode()
        composer.stop(f"{line_column(before)}: the control character {error.character!r} cannot be in YAML")
    return composer.result()


def line_column(before: bytes) -> str:
    """Say where the text goes on after `before`."""
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return f"line {line}, column {column}"


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence that is being read."""

    value: Any
    anchor: str | None
    weight_before: int
    key: Any = NOTHING
    """The key whose value comes next."""
    is_key: bool = False
    """Whether the collection itself stands as a key, which is refused."""
    dropped: bool = False
    """Whether that value is left out, because its key was refused."""
    merged: list[JSONObject] = field(default_factory=list)


class _Composer:
    """Turns the events of one document into a value, collecting faults on the way."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._faults: list[Fault] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[JSONValue, int]] = {}
        self._weight = 0
        self._root: Any = NOTHING
        self._document_start = ""

    def result(self) -> Any:  # noqa: ANN401 - JSON or NOTHING
        """Hand over the value, or raise what was collected."""
        if self._faults:
            raise ManifestInvalid(self._faults)
        return self._root

    def take(self, event: Event) -> None:
        """Take the next event."""
        match type(event).__name__:
            case "ScalarEvent":
                self._scalar(event)
            case "MappingStartEvent":
                self._open({}, event)
            case "SequenceStartEvent":
                self._open([], event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._close(event)
            case "AliasEvent":
                self._alias(event)
            case "DocumentStartEvent":
                self._document_start = _mark(event)
            case _:
                pass  # the other ends and starts say nothing that the values do not

    def _scalar(self, event: Event) -> None:
        text, tag = event.value, event.tag
        self._grow(len(text) + 1, event)
        value: JSONValue = text
        if tag in _TYPED or (tag is None and event.implicit[0]):
            try:
                value = resolve(text)
            except ScalarRefused as error:
                self._fault(event, str(error))
        elif tag is not None and tag not in _TEXT:
            self._unknown_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, len(text) + 1)
        self._place(value, event)

    def _open(self, value: JSONValue, event: Event) -> None:
        if event.tag not in _COLLECTIONS:
            self._unknown_tag(event)
        if len(self._stack) == MAX_LEVELS:
            self.stop(f"{_mark(event)}: nested deeper than {MAX_LEVELS} levels")
        is_key = self._expects_key()
        if is_key:
            self._refuse_key(event, "a collection")
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame(value, event.anchor, self._weight, is_key=is_key))
        self._grow(1, event)

    def _close(self, event: Event) -> None:
        frame = self._stack.pop()
        for merged in frame.merged:
            frame.value.update({key: value for key, value in merged.items() if key not in frame.value})
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.value, self._weight - frame.weight_before)
        if not frame.is_key:
            self._place(frame.value, event)

    def _alias(self, event: Event) -> None:
        if event.anchor not in self._anchors:
            inside = any(frame.anchor == event.anchor for frame in self._stack)
            problem = "stands inside what it names" if inside else "names no anchor before it"
            self.stop(f"{_mark(event)}: the alias *{event.anchor} {problem}")
        value, weight = self._anchors[event.anchor]
        self._grow(weight, event)
        self._place(copy_json(value), event)

    def _place(self, value: JSONValue, event: Event) -> None:
        """Put a finished value where it belongs: a key, under a key, into a sequence, or the root."""
        if not self._stack:
            self._document(value)
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is NOTHING:
            self._key(value, event)
        else:
            if frame.key == "<<" and not frame.dropped:
                self._merge(value, event)
            elif not frame.dropped:
                frame.value[frame.key] = value
            frame.key, frame.dropped = NOTHING, False

    def _document(self, value: JSONValue) -> None:
        if value is None:
            return  # `---` alone, or comments
        if self._root is not NOTHING:
            self.stop(f"{self._document_start}: a second document begins; a file holds one Workflow")
        self._root = value

    def _expects_key(self) -> bool:
        return (
            bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is NOTHING
        )

    def _key(self, value: JSONValue, event: Event) -> None:
        frame = self._stack[-1]
        frame.key = value if isinstance(value, str) else str(value)
        if not isinstance(value, str):
            self._refuse_key(
                event, "a boolean" if isinstance(value, bool) else "null" if value is None else "a number"
            )
        elif value in frame.value and value != "<<":
            frame.dropped = True
            self._fault(event, "this key is there twice")

    def _refuse_key(self, event: Event, kind: str) -> None:
        frame = self._stack[-1]
        text = getattr(event, "value", "")
        frame.key, frame.dropped = text or "?", True
        advice = f'; write "{text}" in quotes' if text else ""
        self._fault(event, f"YAML reads this key as {kind}, and keys are text{advice}")

    def _merge(self, value: JSONValue, event: Event) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._fault(event, "<< takes a mapping or a list of mappings")
            return
        self._stack[-1].merged.extend(source for source in sources if isinstance(source, dict))

    def _grow(self, weight: int, event: Event) -> None:
        self._weight += weight
        if self._weight > MAX_EXPANDED_BYTES:
            bound = MAX_EXPANDED_BYTES // 1024
            self.stop(f"{_mark(event)}: over {bound} KiB once its aliases are expanded")

    def _unknown_tag(self, event: Event) -> None:
        tag = event.tag.replace(_YAML, "!!")
        self._fault(event, f"the tag {tag} is not allowed; a manifest holds plain JSON values")

    def _fault(self, event: Event, message: str) -> None:
        path = ""
        for frame in self._stack:
            if isinstance(frame.value, list):
                path = at_index(path, len(frame.value))
            elif frame.key is not NOTHING:
                path = at_key(path, frame.key)
        self._faults.append(Fault(path or self._source, f"{message} ({_mark(event)})"))
        if len(self._faults) == MAX_FAULTS:
            self.stop("and more; these are the first hundred faults")

    def stop(self, message: str) -> NoReturn:
        """End the reading with this fault, after those collected before."""
        raise ManifestInvalid([*self._faults, Fault(self._source, message)])


def _mark(event: Event) -> str:
    return f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"


def _explained(problem: str, character: str) -> str:
    if "tab character" in problem or (character == "\t" and "cannot start any token" in problem):
        return "a tab cannot indent YAML; use spaces"
    if "cannot start any token" in problem and character:
        return f"a value cannot begin with {character}; put it in quotes"
    hint = _HINTS.get(problem)
    return f"{problem}; {hint}" if hint else problem


def _syntax(error: Any, data: bytes) -> str:  # noqa: ANN401 - PyYAML's two parsers attach different marks
    mark = error.problem_mark or error.context_mark
    line = data.decode().splitlines()[mark.line : mark.line + 1]
    character = line[0][mark.column : mark.column + 1] if line else ""
    problem = _explained(error.problem or error.context or "not YAML", character)
    opened = error.context_mark
    if error.context and opened is not None and opened.line != mark.line:
        problem += f" ({error.context} that began at line {opened.line + 1})"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
