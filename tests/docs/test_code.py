"""The Python code of README.md and docs/ runs as it stands, block after block, where the files that it names exist."""

import re
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from tests.commands import invoke
from tests.docs.test_shown import PAGES, name_of

CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
WITH_CODE = [page for page in PAGES if CODE.search(page.read_text())]


@pytest.fixture
def place(photos, tmp_path, monkeypatch):
    """A working folder with the files of a user that pages name."""
    rng = np.random.default_rng(0)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    shutil.copytree(photos, "photos")
    savemat("scene.mat", {"reflectances": rng.random((20, 24, 4))})
    (work / "vanhateren").mkdir()
    rng.integers(0, 4000, (1024, 1536)).astype(">u2").tofile("vanhateren/imk00001.iml")
    return work


def test_pages_have_code():
    assert {"README.md", "docs/layers.md", "docs/whitening.md"} <= set(map(name_of, WITH_CODE))


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
@pytest.mark.filterwarnings("default")  # of few and small images
def test_code_runs_as_it_stands(page, place, capsys):
    blocks = CODE.findall(page.read_text())
    if "figures" in "".join(blocks):
        assert invoke("kernels", "photos", "-k", 3).exit_code == 0
    if "figures.html" in "".join(blocks):
        assert invoke("report", "figures", "--out", "figures.html").exit_code == 0
    names = {}
    for block in blocks:
        exec(compile(block, name_of(page), "exec"), names)
