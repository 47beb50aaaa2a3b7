"""The notebook of the tutorial: it runs, shows pictures, and prints no long texts."""

import base64
import io
import json
import re

import pytest
from PIL import Image

from tests.places import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )


def test_links_of_the_notebook_exist():
    text = "".join("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"])
    links = re.findall(r"\]\(([^)#\s]+)", text)
    assert links and all((NOTEBOOK.parent / link).exists() for link in links)


@pytest.mark.filterwarnings("ignore")  # of Jupyter, about its own future
def test_the_notebook_runs_and_shows_pictures(monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert list(tmp_path.iterdir()) == []
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    pictures = [Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) for data in shown if "image/png" in data]
    assert len(pictures) == 4
    assert all(min(picture.size) > 200 and picture.convert("L").getextrema() == (0, 255) for picture in pictures)
    assert max(len(data["text/plain"]) for data in shown) < 500
