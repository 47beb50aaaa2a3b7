"""Write numbers as JSON that every reader takes: without NaN, without Infinity, without undecodable text."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["strict_json"]


def strict_json(numbers: Mapping[str, Any]) -> str:
    """Return JSON text without NaN or Infinity; numbers that are not finite become null.

    Parameters
    ----------
    numbers : mapping
        Nested mappings, sequences, strings, numbers, booleans, None, and arrays and numbers of NumPy. Paths become
        strings.

    Returns
    -------
    str
        Indented JSON text that ends with a newline.
    """
    return json.dumps(_plain(numbers), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # of NumPy, which commands without arrays do not load
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    # File names may hold bytes that are not UTF-8, which JSON does not allow.
    return str(value).encode("utf-8", "backslashreplace").decode()
