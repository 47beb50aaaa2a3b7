"""The page of the networks says what the catalogue has."""

import re

import pytest
import torch

from ndtools.models import NAMES, build
from ndtools.models.catalogue import CATALOGUE
from tests.oracles.published_networks import NETWORKS
from tests.places import ROOT

PAGE = (ROOT / "docs" / "networks.md").read_text()
TABLE = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 6
}


def parameters(name, norm):
    with torch.device("meta"):
        return f"{sum(value.numel() for value in build(name, norm).parameters()):,}"


def words(settings):
    """Return settings of a role as the page has them."""
    return "batch normalisation" if settings is None else ", ".join(f"{key}={value}" for key, value in settings.items())


def test_the_page_has_all_networks_in_their_order():
    assert tuple(TABLE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_network_is(name):
    published, deconvolving, normalised, compared, settings = TABLE[name]
    assert re.fullmatch(r"none|`\w+`", published)
    assert [deconvolving, normalised] == [parameters(name, "deconv-reference"), parameters(name, "bn")]
    assert compared == ("yes" if f"{name}/nd" in NETWORKS else "no")
    assert settings == ("; ".join(f"{r}: {words(own)}" for r, own in CATALOGUE[name].published.items()) or "none")


def test_the_default_form_has_as_many_parameters_but_in_efficientnet():
    other = [name for name in NAMES if parameters(name, "deconv") != TABLE[name][1]]
    assert other == ["efficientnet_b0"]
    assert f"has {parameters('efficientnet_b0', 'deconv')} parameters" in " ".join(PAGE.split())
