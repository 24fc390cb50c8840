"""What user code raised, as the engine sees it: one `StepError`, `Park`, or one of Cairn's own errors.

Nothing about an exception may do harm: a `__str__` that raises, a text of a gigabyte, half a surrogate pair.
Nothing of its frames is kept either: they hold the step's values.
The traceback goes to the log, with the step's own frames and never a value.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Mapping

from cairn_runtime.engine.context import Park
from cairn_runtime.errors import CairnError, StepError, StepFailed

MAX_MESSAGE_BYTES = 4096
MAX_TRACEBACK = 16_384
_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - frames
_log = logging.getLogger("cairn.step")


def as_fault(error: BaseException) -> BaseException:
    """Turn an exception of user code into what `execute` raises."""
    if isinstance(error, BaseExceptionGroup):
        return _group_fault(error)
    if isinstance(error, Park | CairnError):
        return error.with_traceback(None)
    return StepFailed(message_of(error), error=name_of(type(error)), mro=names_of(type(error)))


def _group_fault(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What came out of a TaskGroup: Cairn's own word first, a Park if it is alone, else the first failure."""
    leaves = _leaves(group)
    for leaf in leaves:
        if isinstance(leaf, CairnError):
            return leaf.with_traceback(None)
    failures = [leaf for leaf in leaves if not isinstance(leaf, Park)]
    if not failures:
        return leaves[0].with_traceback(None)
    first = failures[0]
    more = f" (and {len(leaves) - 1} more in the exception group)" if len(leaves) > 1 else ""
    names = tuple(dict.fromkeys((*names_of(type(first)), *names_of(type(group)))))
    return StepFailed(message_of(first) + more, error=name_of(type(first)), mro=names)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    out: list[BaseException] = []
    queue: list[BaseException] = [group]
    while queue:
        error = queue.pop(0)
        if isinstance(error, BaseExceptionGroup):
            queue = [*error.exceptions, *queue]
        else:
            out.append(error)
    return out


def message_of(error: BaseException) -> str:
    """The text of an exception, bounded and fit for every store; its class name where it has none."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - user code
        return f"a {name_of(type(error))} whose text cannot be shown"
    return bounded(text) or name_of(type(error))


def bounded(text: str, limit_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Text cut to a number of bytes, without what stores cannot hold: NUL and half surrogate pairs."""
    head = text[:limit_bytes].replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    if len(head) <= limit_bytes and len(text) <= limit_bytes:
        return head.decode()
    return head[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def name_of(kind: type) -> str:
    """The class's name as `retry.errors` writes it."""
    return bounded(kind.__name__, 256)


def names_of(kind: type) -> tuple[str, ...]:
    """The names of a class and its bases, so that `errors: [OSError]` matches a ConnectionResetError."""
    return tuple(name_of(base) for base in kind.__mro__ if base is not object)


def step_traceback(error: BaseException) -> str:
    """The traceback with the step's own frames only; bounded, and without any variable's value."""
    try:
        told = traceback.TracebackException.from_exception(error, capture_locals=False, compact=True)
        _forget_own_frames(told)
        text = "".join(told.format())
    except Exception:  # noqa: BLE001 - an exception class may break its own traceback
        text = message_of(error)
    return bounded(text, MAX_TRACEBACK).rstrip()


def _forget_own_frames(told: traceback.TracebackException) -> None:
    queue: list[traceback.TracebackException | None] = [told]
    while queue:
        part = queue.pop()
        if part is None:
            continue
        kept = [frame for frame in part.stack if not frame.filename.startswith(_OWN_FOLDER)]
        part.stack = traceback.StackSummary.from_list(kept)
        queue += [part.__cause__, part.__context__, *(part.exceptions or [])]


def log_failure(error: StepError, trace: str, fields: Mapping[str, object]) -> None:
    """Log that an attempt raised, with the traceback where formatters look for it."""
    if not _log.isEnabledFor(logging.WARNING):
        return
    extra = {**fields, "error": error.error}
    record = _log.makeRecord(_log.name, logging.WARNING, "", 0, "step raised", (), None, extra=extra)
    record.exc_text = trace
    _log.handle(record)
