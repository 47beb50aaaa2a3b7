"""Options of storage that addresses name, such as credentials: they hold for a while, and are part of no result."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["current_options", "storage_options"]

_options: dict[str, Any] = {}


def current_options() -> dict[str, Any]:
    """Return the options of storage that hold now."""
    return dict(_options)


@contextmanager
def storage_options(options: Mapping[str, Any] | None = None, /, **further: Any) -> Iterator[None]:  # noqa: ANN401
    """Give options to storage at addresses such as ``s3://bucket/photos``, for the body of a ``with`` statement.

    They hold in the whole process, and results do not record them: most are credentials.

    Parameters
    ----------
    options : mapping, optional
        Options by name, as the fsspec package of that storage takes them. By default there are none but `further`.
    **further
        Options as arguments, such as ``anon=True``.

    Yields
    ------
    None
        No value; addresses that the body names are opened with these options.

    Examples
    --------
    >>> import ndtools as nd
    >>> with nd.storage_options(anon=True):
    ...     pass  # nd.kernels("s3://bucket/photos")
    """
    before, given = dict(_options), {**(options or {}), **further}
    json.dumps(given)  # a TypeError now, and not in another process
    try:
        _options.update(given)
        yield
    finally:
        _options.clear()
        _options.update(before)
