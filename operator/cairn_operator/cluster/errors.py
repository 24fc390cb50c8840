"""What the API server says instead of doing what it was asked.

    ApiError
    ├── ApiUnavailable     no answer, too many requests, a fault of its own: the same may succeed later
    │   └── ApiUnreadable  an answer that cannot be read, such as an object nested a thousand levels deep
    ├── ApiConflict        the object has changed since it was read: look again
    ├── NameTaken          there is an object of that name already
    ├── ApiGone            there is no such object, or not any more
    └── ApiRefused         rights, quota, admission, validation: its own words say what to do

`reason` is the constant word for a condition.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cairn_runtime.model.values import JSONObject

_BUSY, _CONFLICT, _NOT_FOUND, _GONE, _ITS_OWN_FAULT = 429, 409, 404, 410, 500


class ApiError(Exception):
    """The API server did not do what it was asked."""

    reason: str = "ApiError"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ApiUnavailable(ApiError):
    """The API server did not answer."""

    reason = "ApiUnavailable"
    retryable = True


class ApiUnreadable(ApiUnavailable):
    """The API server's answer cannot be read, as something in it is nested too deep, or it is no JSON."""

    reason = "ApiUnreadable"


class ApiConflict(ApiError):
    """The object has changed since it was read."""

    reason = "ApiConflict"
    retryable = True


class NameTaken(ApiError):
    """An object of that name is there already."""

    reason = "NameTaken"


class ApiGone(ApiError):
    """The object is not there."""

    reason = "ApiGone"


class ApiRefused(ApiError):
    """The API server refuses this; its own words say why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def error_of(code: int, status: JSONObject) -> ApiError:
    """Translate an answer of the API server, a `Status` object, into one of these.

    A uid that is not the object's is answered with Conflict too: for a deletion, it is another one by now.
    """
    body: dict[str, Any] = status
    reason, message = str(body.get("reason") or "Unknown"), str(body.get("message") or f"HTTP {code}")
    if code == _BUSY or code >= _ITS_OWN_FAULT:
        return ApiUnavailable(message)
    if code in (_NOT_FOUND, _GONE):
        return ApiGone(message)
    if code == _CONFLICT:
        if reason == "AlreadyExists":
            return NameTaken(message)
        return ApiGone(message) if "UID in precondition" in message else ApiConflict(message)
    return ApiRefused(reason, message)
