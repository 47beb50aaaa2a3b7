import json

import pytest

import ndtools as nd


def test_the_short_form(tmp_path, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    states = nd.reproduce("fig4", budget="5m", output=tmp_path / "out")
    assert list(states) == ["fig4"]
    assert isinstance(states["fig4"], nd.ItemState)
    assert states["fig4"].state == "done"
    entries = json.loads((tmp_path / "out" / "reproduction.json").read_text())["items"]
    (written,) = (entry for entry in entries if entry["id"] == "fig4")
    assert [grade["verdict"] for grade in written["grades"]] == [grade.verdict for grade in states["fig4"].grades]


@pytest.mark.parametrize(
    ("settings", "option"),
    [({"budget": 0}, "budget"), ({"budget": float("nan")}, "budget"), ({"budget": "soon"}, "budget"),
     ({"device": "tpu"}, "device"), ({"jobs": 0}, "jobs")],
)  # fmt: skip
def test_options_out_of_range(tmp_path, settings, option):
    with pytest.raises(nd.OptionError) as error:
        nd.reproduce("fig4", output=tmp_path / "out", **settings)
    assert error.value.option == option
    assert not (tmp_path / "out").exists()
