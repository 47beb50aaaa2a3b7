"""One published number, with its source and the conditions under which it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["DOCUMENTS", "Entry"]

DOCUMENTS = {
    "paper-v1": "Ye et al., Network Deconvolution, first version (2019)",
    "paper-v2": "Ye et al., Network Deconvolution, ICLR 2020",
    "summary": "A summary of the paper with comments; neither author nor date is stated",
    "report-2021": "Jiang, Wu, Zhu and Zhang, Reproducibility Report: Network Deconvolution, University of Southampton",
    "rescience-2025": "Obadage, Rajtmajer and Wu, [Re] Network Deconvolution, ReScience C 10 (2025), arXiv 2410.01189",
}
"""Documents whose numbers are here, by the name that entries have for them."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A number that a document publishes.

    Attributes
    ----------
    id : str
        Unique name, such as "table1/vgg16/cifar10/bn/20".
    documents : tuple of str
        Documents that print this value, keys of :data:`DOCUMENTS`. Where two versions of the paper differ, each has an
        entry of its own.
    where : str
        Place in the document, such as "table 1, VGG-16".
    value : float
        The number; the mean if there are several runs, and the lower end if the document states a range.
    upper : float or None
        Upper end of the range that the document states; None if it states one number.
    unit : str
        Unit of the value, such as "%" or "s".
    metric : str
        Quantity that the value measures, such as "top-1 accuracy" or "training time".
    split : {"test", "train", "unclear"} or None
        Images that an accuracy was measured on; None for other quantities.
    selection : {"last", "best", "unclear"}
        Epoch whose accuracy was taken.
    n : int or None
        Number of runs; None if the document does not say.
    spread : float or None
        Standard deviation over the runs; None without several runs.
    runs : tuple of float
        Values of the single runs, if the document prints them. Default: none.
    printed : tuple of str
        Digits as the document prints them, of the runs or else of ``value`` and ``upper``. Default: none, for numbers
        that it prints without zeros at their end.
    conditions : mapping
        Settings under which the number was measured, by the names that training runs have for them: "arch", "dataset",
        "norm" ("bn", "nd" for deconvolution, "none"), "epochs", "batch_size", "lr" and others.
    quote : str or None
        Words of the first of the documents, in plain characters, for a number that stands in a sentence; None for one
        of a table.
    note : str or None
        Remark that helps to read the number.
    doubt : str or None
        Reason why the number should not be taken at face value.
    """

    id: str
    documents: tuple[str, ...]
    where: str
    value: float
    unit: str
    metric: str
    upper: float | None = None
    split: Literal["test", "train", "unclear"] | None = None
    selection: Literal["last", "best", "unclear"] = "unclear"
    n: int | None = None
    spread: float | None = None
    runs: tuple[float, ...] = ()
    printed: tuple[str, ...] = ()
    conditions: Mapping[str, object] = field(default_factory=dict)
    quote: str | None = None
    note: str | None = None
    doubt: str | None = None

    @property
    def in_words(self) -> str:
        """Value as it was printed, with its spread or range and its unit; means of runs with two decimals."""
        if self.n and self.spread is not None:
            text = f"{self.value:.2f} ± {self.spread:.2f}"
        else:
            values = (self.value,) if self.upper is None else (self.value, self.upper)
            text = " to ".join(self.printed or map(_shortest, values))
        return f"{text} {self.unit}".rstrip()

    @property
    def runs_in_words(self) -> str:
        """Values of the single runs as they were printed; "" for none."""
        return ", ".join(self.printed or map(_shortest, self.runs)) if self.runs else ""


def _shortest(value: float) -> str:
    return f"{value:.12g}"
