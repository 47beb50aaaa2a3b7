"""Read from storage again, after a while, where a failure may pass."""

import asyncio
import errno
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ndtools.errors import UnreachableError
from ndtools.text import reason

__all__ = ["ATTEMPTS", "ShortReadError", "is_of_storage", "is_transient", "retried", "storage_reason"]

R = TypeVar("R")

ATTEMPTS = 6
FIRST_DELAY = 0.5  # seconds; each further one is twice as long
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_NUMBERS = {
    getattr(errno, name)
    for name in ("ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT", "EIO", "EBUSY", "EAGAIN", "ENETUNREACH",
                 "ENETDOWN", "EHOSTUNREACH")
    if hasattr(errno, name)
}  # fmt: skip
_STATES = {408, 425, 429, 500, 502, 503, 504}  # of HTTP
_CODES = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException"}
# Parts of the names of errors of aiohttp, botocore, urllib3, requests and others that mean a lost connection.
_NAMES = ("timeout", "connection", "connect", "disconnect", "payload", "incompleteread", "serviceunavailable")


class ShortReadError(OSError):
    """Storage returned fewer bytes than it should have."""


def retried(call: Callable[[], R], *, attempts: int = ATTEMPTS, sleep: Callable[[float], object] = time.sleep) -> R:
    """Call a function that reads from storage, and call it again after failures that may pass.

    Parameters
    ----------
    call : callable
        Function that reads.
    attempts : int
        Number of calls at most. Default 6, with delays of about 0.5 to 8 seconds between them.
    sleep : callable
        Function that waits a number of seconds.

    Returns
    -------
    object
        Return value of the function.

    Raises
    ------
    UnreachableError
        If the last call failed as well, in a way that may pass: nothing can be said about what should be read. Other
        errors of the function are raised as they are.
    """
    attempt = 1
    while True:
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            if attempt >= attempts:
                raise UnreachableError(
                    f"the storage does not answer ({attempts} times tried: {storage_reason(error)}); try again later"
                ) from error
        sleep(FIRST_DELAY * 2 ** (attempt - 1) * (1 + random.random() / 2))  # so that not all come back at once
        attempt += 1


def is_transient(error: BaseException) -> bool:
    """Return whether a failure of storage may pass: lost connections, and servers that are busy."""
    if isinstance(error, _PERMANENT):
        return False
    if isinstance(error, (ConnectionError, TimeoutError, asyncio.TimeoutError, ShortReadError)):
        return True
    state = _state(error)
    if state is not None:
        return state in _STATES or state in _CODES
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return True
    if error.__cause__ is not None and error.__cause__ is not error and isinstance(error, OSError):
        return is_transient(error.__cause__)
    return type(error).__module__ != "builtins" and any(name in type(error).__name__.lower() for name in _NAMES)


def _state(error: Any) -> object:  # noqa: ANN401
    """Return the status of HTTP, or the code of S3, that an error has; None if it has neither."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        return response.get("Error", {}).get("Code") or response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None


def is_of_storage(error: BaseException) -> bool:
    """Return whether an error is one of the storage, and not of the code that reads from it."""
    return isinstance(error, (OSError, asyncio.TimeoutError)) or type(error).__module__ != "builtins"


def storage_reason(error: BaseException) -> str:
    """Return the reason of an error of storage in a line, with a remedy where there is one."""
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    kind, text = type(error).__name__, reason(error) if str(error) else ""
    said = text or kind
    if isinstance(error, PermissionError) or "credential" in kind.lower() or _state(error) in (401, 403):
        return f"no access ({said}); give credentials, or anon=true, with `storage_options`"
    return said if isinstance(error, OSError) or not text else f"{kind}: {text}"
