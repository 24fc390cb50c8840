"""Code: inline modules are Python, and the functions that steps and reducers name are in them.

The code is parsed, never run or imported.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cairn_runtime.errors import Fault
from cairn_runtime.model.outline import Outline
from cairn_runtime.model.paths import at_key
from cairn_runtime.model.suggestions import did_you_mean, nearest

_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
_MODULE = re.compile(r"[A-Za-z_]\w*\.py", re.ASCII)
_DATA = re.compile(r"(?!.*\.py\Z)[-\w]([-.\w]*[-\w])?", re.ASCII)
"""A file that is read, not imported. Source: the Kubernetes API reference, keys of a ConfigMap."""


class Module(NamedTuple):
    """A parsed module: what it defines at top level; `open_ended` where a star import may add names."""

    file: str
    names: frozenset[str]
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
    open_ended: bool


class Modules:
    """The code that can be looked at: inline modules first, then files beside the manifest."""

    def __init__(self, outline: Outline, sources: Mapping[str, str]) -> None:
        self._texts = {**sources, **outline.code}
        self._read: dict[str, Module | None] = {}
        self.broken: dict[str, str] = {}
        """Files that are no Python, with what is wrong with them."""

    def find(self, reference: str) -> Module | None:
        """Find the module of `module:function`; None where its code is not at hand or is no Python."""
        file = file_of(reference)
        if file not in self._read:
            text = self._texts.get(file)
            self._read[file] = None if text is None else self._parse(file, text)
        return self._read[file]

    def _parse(self, file: str, text: str) -> Module | None:
        tree = _parsed(text)
        if isinstance(tree, Fault):
            self.broken[file] = tree.message
            return None
        try:
            return None if tree is None else _module(file, tree)
        except RecursionError:  # thousands of nested blocks, such as a long elif
            return None


def file_of(reference: str) -> str:
    """Name the file of a `module:function`."""
    return reference.partition(":")[0].replace(".", "/") + ".py"


def file_names(outline: Outline) -> Iterator[Fault]:
    """A file name that cannot be one, or code from two places."""
    for name in outline.code:
        if not (_MODULE.fullmatch(name) or _DATA.fullmatch(name)):
            problem = (
                "a file in code is a module such as steps.py or a file to read such as words.txt; no folders"
            )
            yield Fault(at_key("spec.code", name), problem)
    if outline.code and outline.spec.get("codeFrom") is not None:
        yield Fault("spec.codeFrom", "code comes from spec.code too; use one of them")


def syntax(outline: Outline) -> Iterator[Fault]:
    """An inline module that is no Python."""
    for name, text in outline.code.items():
        parsed = _parsed(text) if name.endswith(".py") else None
        if isinstance(parsed, Fault):
            yield Fault(at_key("spec.code", name), parsed.message)


def functions(outline: Outline, modules: Modules) -> Iterator[Fault]:
    """A function that its module does not define, or whose module is no Python."""
    for path, reference in _references(outline):
        module = modules.find(reference)
        name = reference.partition(":")[2].partition(".")[0]
        if module is not None and not module.open_ended and name not in module.names:
            hint = did_you_mean(name, module.names)
            yield Fault(path, f'{module.file} defines no "{name}" at top level{hint}')
        file = file_of(reference)
        if file in modules.broken and file not in outline.code:
            yield Fault(path, f"{file}: {modules.broken[file]}")


def missing_modules(outline: Outline, modules: Modules) -> Iterator[Fault]:
    """Warnings: a module that is not in `code` while one with nearly its name is."""
    known = [name.removesuffix(".py") for name in outline.code if name.endswith(".py")]
    for path, reference in _references(outline):
        module = reference.partition(":")[0]
        if known and module not in known and modules.find(reference) is None:
            near = nearest(module, known)
            if near:
                yield Fault(path, f'spec.code has no "{module}.py"; did you mean "{near}"?')


def hidden_modules(outline: Outline) -> Iterator[Fault]:
    """Warnings: a file that hides a module of the standard library from all other code."""
    for name in outline.code:
        module = name.removesuffix(".py")
        if name != module and module in sys.stdlib_module_names:
            yield Fault(at_key("spec.code", name), f'hides the module "{module}" of the standard library')


def _references(outline: Outline) -> Iterator[tuple[str, str]]:
    for step in outline.steps:
        if ":" in step.python:
            yield f"{step.path}.python", step.python
    for channel in outline.channels.values():
        if channel.reducer.startswith("python:"):
            yield f"{channel.path}.reducer", channel.reducer.removeprefix("python:").strip()


def _parsed(text: str) -> ast.Module | Fault | None:
    """Parse Python: a fault without a path where it is none, None where it is nested too deep to tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in a user's text is no news of this command
            return ast.parse(text)
    except SyntaxError as error:
        place = f"line {error.lineno}, column {error.offset}: " if error.lineno else ""
        return Fault("", f"{place}not Python: {error.msg}")
    except ValueError as error:
        return Fault("", f"not Python: {error}")
    except (RecursionError, MemoryError):
        return None


def _module(file: str, tree: ast.Module) -> Module:
    names: set[str] = set()
    defined: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    open_ended = False
    for node in _top_level(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(node.name)
                defined[node.name] = node
            case ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
                open_ended = open_ended or any(alias.name == "*" for alias in node.names)
            case _:
                names.update(
                    n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                )
    return Module(file, frozenset(names), defined, open_ended or "__getattr__" in names)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Iterate the statements that run on import, those inside if, try, with and loops too."""
    for node in body:
        yield node
        if isinstance(node, _BLOCKS):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt):
                    yield from _top_level([child])
                elif isinstance(child, ast.ExceptHandler | ast.match_case):
                    yield from _top_level(child.body)
