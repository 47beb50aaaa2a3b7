"""Products of a matrix with its own transpose, which are symmetric."""

from torch import Tensor

__all__ = ["outer_products"]

_WIDE = 256  # narrower products are bound by memory


def outer_products(rows: Tensor) -> Tensor:
    """Return X Xᵗ, by five eighths of the operations where that pays.

    Parameters
    ----------
    rows : Tensor of shape (..., f, n)
        X.

    Returns
    -------
    Tensor of shape (..., f, f)
        The products of its rows with each other, in its dtype.
    """
    width = rows.shape[-2]
    if width < _WIDE:
        return rows @ rows.mT
    out = rows.new_empty(*rows.shape[:-1], width)
    panel = -(-width // 4)
    for start in range(0, width, panel):
        below, beside = slice(start, None), slice(start, start + panel)
        out[..., below, beside] = rows[..., below, :] @ rows[..., beside, :].mT
        out[..., beside, below] = out[..., below, beside].mT
    return out
