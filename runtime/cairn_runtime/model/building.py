"""Writing a Workflow in Python: a builder that yields the manifest, whose steps are functions.

    flow = Workflow("digest", input={"urls": []})
    flow.channel("pages", reducer="extend")

    @flow.step(foreach={"in": "state.urls", "collect": "pages"})
    async def fetch(state, ctx): ...

    flow.add("count", run="wc -w < $CAIRN_STATE", needs=[fetch])

What comes out is the document that YAML would have been read into, field by field, and it is judged by the
same checks; the builder knows no rules of its own but one: a function must have a name by which a runner can
import it. A function may stand wherever the manifest names a function, or the step that was made of it.
Step modules import this, so it imports neither pydantic nor yaml; it does no I/O.
"""

from __future__ import annotations

import os.path
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from cairn_runtime.errors import Fault, ManifestInvalid
from cairn_runtime.model.values import JSONObject

_F = TypeVar("_F", bound=Callable[..., object])
Function = Callable[..., object]


class Workflow:
    """A Workflow under construction.

    Args:
        name: `metadata.name`.
        namespace: `metadata.namespace`; None leaves it out.
        labels: `metadata.labels`.
        annotations: `metadata.annotations`.
        strict: `spec.state.strict`; None leaves it out.
        spec: the other fields of `spec`, in snake_case or as the manifest has them: `input`, `timeout`,
            `retry`, `checkpoint`, `image`, `deletion_policy`. What is inside them is as in the manifest.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        strict: bool | None = None,
        **spec: Any,  # noqa: ANN401 - any field of the manifest; judged by its checks
    ) -> None:
        self._metadata = _filled(name=name, namespace=namespace, labels=labels, annotations=annotations)
        self._strict = strict
        self._spec = {_camel(field): value for field, value in spec.items()}
        self._channels: dict[str, dict[str, Any]] = {}
        self._steps: list[dict[str, Any]] = []
        self._names: dict[Function, str] = {}
        self._functions: list[Function] = []

    def channel(
        self,
        name: str,
        *,
        reducer: str | Function | None = None,
        initial: object = None,
        schema: object = None,
    ) -> None:
        """Declare a channel; `reducer` may be a function (old, new) -> new."""
        if callable(reducer):
            reducer = f"python:{self._ref(reducer, f'spec.state.channels.{name}.reducer')}"
        self._channels[name] = _filled(reducer=reducer, initial=initial, schema=schema)

    @overload
    def step(self, function: _F) -> _F: ...

    @overload
    def step(self, *, name: str | None = None, **fields: Any) -> Callable[[_F], _F]: ...  # noqa: ANN401 - see add

    def step(self, function: _F | None = None, *, name: str | None = None, **fields: Any) -> Any:
        """Make a step of a function, which stays as it is; as a decorator, with fields or without.

        The step has the function's name with `-` in place of `_`, unless another is given; see `add`.
        """

        def made(function: _F) -> _F:
            self.add(name or getattr(function, "__name__", "").replace("_", "-"), python=function, **fields)
            return function

        return made if function is None else made(function)

    def add(self, name: str, *, python: str | Function | None = None, **fields: Any) -> str:  # noqa: ANN401 - as above
        """Add a step of any kind, and give its name.

        Args:
            name: the step's name.
            python: a function, or `module:function`.
            fields: the step's other fields, in snake_case or as the manifest has them; where one names steps
                (`needs`, `next[].to`, `catch`, `goto`), a function stands for the step that was made of it.

        Raises:
            ManifestInvalid: the function cannot be imported by a runner, or is no step of this Workflow.
        """
        at = f"spec.steps[{len(self._steps)}]"
        step: dict[str, Any] = {"name": name}
        if callable(python):
            step["python"] = self._ref(python, f"{at}.python")
        elif python is not None:
            step["python"] = python
        for field, value in fields.items():
            step[_camel(field)] = self._named(value, f"{at}.{_camel(field)}")
        self._steps.append(step)
        if callable(python):
            self._names[python] = name
        return name

    def manifest(self) -> JSONObject:
        """The manifest as it stands, not judged yet: that is done where it is used."""
        state = _filled(channels=self._channels or None, strict=self._strict)
        spec = {**self._spec, **({"state": state} if state else {}), "steps": self._steps}
        return {
            "apiVersion": "cairn.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": _copied(self._metadata),
            "spec": _copied(spec),
        }

    def to_yaml(self) -> str:
        """The manifest as YAML, for `kubectl apply -f -` and `cairn run -`.

        Raises:
            ManifestInvalid: with every fault.
        """
        import yaml  # noqa: PLC0415 - see the head of this module

        from cairn_runtime.model.validation import parse_workflow  # noqa: PLC0415 - the same

        document = self.manifest()
        parse_workflow(document)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)

    @property
    def folder(self) -> str | None:
        """The folder from which all its functions are imported; None where there is not just one."""
        found = {_home(function) for function in self._functions}
        return found.pop() if len(found) == 1 else None

    def _ref(self, function: Function, path: str) -> str:
        """Name a function as `module:function`. Raises `ManifestInvalid`."""
        self._functions.append(function)
        return _reference(function, path)

    def _named(self, value: object, path: str) -> object:
        """Put names in place of functions, also inside lists and objects."""
        if callable(value):
            if value not in self._names:
                told = f"{getattr(value, '__name__', value)} is no step of this Workflow yet; name it as text"
                raise ManifestInvalid([Fault(path, told)])
            return self._names[value]
        if isinstance(value, Mapping):
            return {key: self._named(one, f"{path}.{key}") for key, one in value.items()}
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            return [self._named(one, f"{path}[{n}]") for n, one in enumerate(value)]
        return value


def _reference(function: Function, path: str) -> str:
    """`module:function`, as a runner imports it.

    Raises:
        ManifestInvalid: it cannot, and what to do.
    """
    name = getattr(function, "__qualname__", "")
    if not name or "<" in name:
        told = f"{name or type(function).__name__} cannot be imported by a runner; define it with def at the"
        raise ManifestInvalid([Fault(path, f"{told} top of a module (a decorator needs functools.wraps)")])
    module = function.__module__
    if module == "__main__":
        module = _main_module()
    if not module:
        told = f"{name} was typed into a session; put it into a file, which a runner can import"
        raise ManifestInvalid([Fault(path, told)])
    return f"{module}:{name}"


def _main_module() -> str:
    """The name by which others import the program that runs; empty where it has none."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None) or ""
    stem, kind = os.path.splitext(os.path.basename(file))  # noqa: PTH119, PTH122 - text only; this room does no I/O
    return stem if kind == ".py" else ""


def _home(function: Function) -> str | None:
    """The folder that must be on the path, so that a function's module can be imported."""
    file: str | None = getattr(sys.modules.get(function.__module__), "__file__", None)
    if file is None:
        return None
    module = _main_module() if function.__module__ == "__main__" else function.__module__
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - as above
    for _ in range(module.count(".") + (os.path.basename(file) == "__init__.py")):  # noqa: PTH119 - as above
        folder = os.path.dirname(folder)  # noqa: PTH120 - as above
    return folder


def _camel(name: str) -> str:
    """`max_visits` as the manifest has it."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def _filled(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _copied(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A copy of a fragment in plain lists and dicts: what is done to a manifest reaches no builder."""
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(one) for one in value]
    return value
