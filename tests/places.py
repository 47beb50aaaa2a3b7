"""The checkout, and real images and data sets on machines that have them."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# As it was when the tests started: tests of how data sets are found change it.
_FOLDERS = [Path(text) for text in [os.environ.get("NDTOOLS_DATA", "")] if text] + [ROOT.parent / "shared" / "data"]


def real(name: str) -> Path:
    """Return a file or folder of real data, in ``$NDTOOLS_DATA`` or beside the checkout; skip the test without it."""
    for folder in _FOLDERS:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"real data not here: {name} (put it into a folder, and name that in NDTOOLS_DATA)")


def paper(name: str) -> Path:
    """Return a source text of the published numbers, in ``$NDTOOLS_PAPER`` or beside the checkout; else skip."""
    folders = [Path(text) for text in [os.environ.get("NDTOOLS_PAPER", "")] if text]
    for folder in [*folders, ROOT.parent / "shared" / "paper"]:
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"text not here: {name} (put it into a folder, and name that in NDTOOLS_PAPER)")
