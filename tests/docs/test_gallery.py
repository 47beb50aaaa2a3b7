"""Pictures of the gallery: of items that are done, and of no photographs but ours."""

import json
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.places import ROOT

GALLERY = ROOT / "figures" / "gallery"


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("draw_gallery", ROOT / "docs" / "draw_gallery.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reproduction(folder, state="done", source="sample-photo"):
    part = {"name": "deblur", "state": state, "result": "results/deblur/deblur.json"}
    (folder / "results" / "deblur").mkdir(parents=True)
    (folder / "reproduction.json").write_text(json.dumps({"items": [{"id": "fig1", "parts": [part]}]}))
    (folder / part["result"]).write_text(json.dumps({"experiment": "deblur", "config": {"source": source}}))
    return folder


def test_results_that_are_shown(script, tmp_path):
    folder = reproduction(tmp_path)
    assert script.results_of(folder, ["fig1"]) == [folder / "results" / "deblur" / "deblur.json"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"state": "waiting"}, "fig1 is not done; run: ndtools"), ({"source": "a.jpg"}, "fig1 shows a.jpg; run: ndtools")],
)
def test_what_is_not_drawn(script, tmp_path, settings, message):
    with pytest.raises(SystemExit, match=message):
        script.results_of(reproduction(tmp_path, **settings), ["fig1"])


def test_the_gallery_shows_no_other_photographs_and_names_no_folder_of_a_machine(script):
    for path in GALLERY.glob("*.json"):
        about = json.loads(path.read_text())
        assert about["experiment"] not in script.SHOW_IMAGES or about["config"]["source"] == "sample-photo", path
        assert not [word for word in about["command"].split() if word.startswith(("/", "~"))], path
