"""Finding the function that `python: module:function` names, in the runner and in its workers.

The code's folders stand first on `sys.path`.
One process may run several Workflows whose folders hold modules of the same name: each `Loader` keeps the
modules that it imported, and a module that came from another Workflow's folder is imported anew.
Whatever goes wrong is a `StepUnusable` that names the line of the user's file.
"""

from __future__ import annotations

import importlib
import os.path
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, TracebackType

from cairn_runtime.engine.execute.faults import message_of
from cairn_runtime.errors import StepUnusable

_code_folders: set[str] = set()
"""Every folder that was a Workflow's code in this process."""
_MACHINERY = ("<frozen importlib", str(Path(__file__).parent), str(Path(importlib.__file__).parent))


class Loader:
    """Imports the modules of one run."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [os.path.realpath(folder) for folder in folders]
        self._modules: dict[str, ModuleType] = {}
        _code_folders.update(self._folders)

    def find(self, ref: str) -> object:
        """The object that `module:name` names.

        Raises:
            StepUnusable: with the reason, and the line of the file where there is one.
        """
        module_name, _, path = ref.partition(":")
        found: object = self._module(module_name, ref)
        for name in path.split("."):
            try:
                found = getattr(found, name)
            except AttributeError:
                raise StepUnusable(_absent(ref, path, module_name, found, name)) from None
        return found

    def close(self) -> None:
        """Take the folders off `sys.path`; what was imported stays usable."""
        for folder in self._folders:
            if folder in sys.path:
                sys.path.remove(folder)

    def _module(self, name: str, ref: str) -> ModuleType:
        if name not in self._modules:
            self._activate()
            self._make_room(name, ref)
            try:
                self._modules[name] = importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 - a module may do anything, sys.exit() too
                problem = self._problem(error, name, ref)
            else:
                return self._modules[name]
            raise StepUnusable(problem)
        return self._modules[name]

    def _activate(self) -> None:
        """Put the folders first on the path; two runs in one process take turns at that."""
        if sys.path[: len(self._folders)] != self._folders:
            sys.path[:] = [*self._folders, *(entry for entry in sys.path if entry not in self._folders)]
        importlib.invalidate_caches()

    def _make_room(self, name: str, ref: str) -> None:
        """See to it that the name means our module, if the code's folders have one of that name."""
        top = name.partition(".")[0]
        taken = sys.modules.get(top)
        if taken is None or _home(taken) in self._folders or PathFinder.find_spec(top, self._folders) is None:
            return
        home = _home(taken)
        if home in _code_folders:
            _drop(home)
            return
        where = getattr(taken, "__file__", None) or "the interpreter"
        raise StepUnusable(f'python: "{ref}": the name {top} is taken by {where}; rename your module')

    def _problem(self, error: BaseException, name: str, ref: str) -> str:
        """Say why an import failed, and where."""
        line = self._line(error)
        if isinstance(error, ModuleNotFoundError) and line is None and _covers(error.name, name):
            looked = " or ".join(self._folders) or "sys.path"
            return f'python: "{ref}": there is no module "{name}" in {looked}{_hint(name, self._stems())}'
        told = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else message_of(error)}"
        return f'python: "{ref}": {line}: {told}' if line else f'python: "{ref}": {told}'

    def _line(self, error: BaseException) -> str | None:
        """The innermost line of the user's own files on the way to the error, else of any file."""
        places = list(_frames(error.__traceback__))
        if isinstance(error, SyntaxError) and error.filename:
            places.append((error.filename, error.lineno or 1))
        ours = [place for place in places if os.path.dirname(os.path.realpath(place[0])) in self._folders]  # noqa: PTH120
        if not (ours or places):
            return None
        file, line = (ours or places)[-1]
        for folder in self._folders:
            if os.path.realpath(file).startswith(folder + os.sep):
                file = os.path.relpath(os.path.realpath(file), folder)
        return f"{file}, line {line}"

    def _stems(self) -> list[str]:
        """The modules that lie in the folders."""
        files = [Path(folder).glob("*.py") for folder in self._folders]
        return sorted({file.stem for found in files for file in found})


def _absent(ref: str, path: str, module_name: str, holder: object, name: str) -> str:
    hint = _hint(name, [known for known in dir(holder) if not known.startswith("_")])
    return f'python: "{ref}": there is no {path} in module {module_name}{hint}'


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _covers(missing: str | None, wanted: str) -> bool:
    """Whether the module that was not found is the wanted one, or a package that it is in."""
    return missing is not None and (wanted == missing or wanted.startswith(missing + "."))


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    """File and line of the frames that are neither ours nor the import machinery's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_MACHINERY):
            yield file, trace.tb_lineno
        trace = trace.tb_next


def _home(module: ModuleType) -> str | None:
    """The entry of the path from which a top-level module was imported."""
    for inside in list(getattr(module, "__path__", None) or []):
        return str(Path(os.path.realpath(inside)).parent)
    file = getattr(module, "__file__", None)
    return str(Path(os.path.realpath(file)).parent) if file else None


def _drop(home: str) -> None:
    """Forget all modules that were imported from a folder, with their submodules."""
    tops = {n for n, m in list(sys.modules.items()) if "." not in n and _home(m) == home}
    for name in list(sys.modules):
        if name.partition(".")[0] in tops:
            del sys.modules[name]
