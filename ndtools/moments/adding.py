"""Add up the covariances of parts in an order that depends on nothing but the number of each part."""

from ndtools.computing.operators import single_threaded_operators
from ndtools.numerics.covariance import Covariance

__all__ = ["TreeSum"]


class TreeSum:
    """Sum of covariances, which does not depend on the order in which they arrive, to the bit.

    Parts are the leaves of a binary tree, in the order of their numbers. Two neighbours are added as soon as both are
    there, and what is left at the end is added from the right. So the roundings of a sum are those of the tree, whoever
    computed its parts and whichever came first. Of n parts that come in order, at most log₂ n sums are in memory.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], Covariance | None] = {}  # by level and position
        self._added: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._added

    def add(self, number: int, covariance: Covariance | None) -> None:
        """Add a part.

        Parameters
        ----------
        number : int
            Number of the part, from 0. All numbers below the largest must be added in the end.
        covariance : Covariance or None
            Covariance of the part, on the CPU; None for a part without patches.

        Raises
        ------
        ValueError
            If a part of this number was added before: nothing counts twice.
        """
        if number in self._added:
            raise ValueError(f"part {number} must be added once, got it twice")
        self._added.add(number)
        level, position, value = 0, number, covariance
        while (level, position ^ 1) in self._nodes:
            other = self._nodes.pop((level, position ^ 1))
            value = _sum(other, value) if position % 2 else _sum(value, other)
            level, position = level + 1, position // 2
        self._nodes[level, position] = value

    def total(self) -> Covariance:
        """Return the covariance of all parts together.

        Returns
        -------
        Covariance
            Covariance of the patches of all parts.

        Raises
        ------
        ValueError
            If a number is missing, or no part has patches.
        """
        missing = set(range(len(self._added))) - self._added
        if missing:
            raise ValueError(f"parts must be numbered without gaps, got none with number {min(missing)}")
        # With all numbers there, levels fall from left to right.
        total: Covariance | None = None
        for _, value in sorted(self._nodes.items()):
            total = _sum(value, total)
        if total is None:
            raise ValueError("parts must have patches, got none")
        return total


def _sum(left: Covariance | None, right: Covariance | None) -> Covariance | None:
    if left is None or right is None:
        return left or right
    with single_threaded_operators():  # threads divide vectors at places that change the last bit
        return left + right
