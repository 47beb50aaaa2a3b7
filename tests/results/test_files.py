import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

import ndtools
from ndtools.errors import OutputError
from ndtools.results.files import result_paths, write_results
from ndtools.results.strict_json import strict_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


@given(st.dictionaries(st.text(), JSON))
def test_json_is_strict_and_keeps_what_is_finite(numbers):
    def finite(value):
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list):
            return [finite(item) for item in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    assert json.loads(strict_json(numbers), parse_constant=refuse) == finite(numbers)


def test_json_takes_arrays_and_names_that_are_not_utf8():
    text = strict_json(
        {
            "a": np.array([1.0, np.nan]),
            "b": np.float32(2),
            "path": b"caf\xe9.png".decode(errors="surrogateescape"),
        }
    )
    assert json.loads(text.encode()) == {"a": [1.0, None], "b": 2.0, "path": "caf\\udce9.png"}


def figure():
    fig = Figure()
    fig.subplots().plot([0, 1])
    return fig


def write(folder, value=1.0, **options):
    return write_results(
        folder,
        "stem",
        arrays={"x": np.array([value])},
        numbers={"value": value, "command": "ndtools test"},
        figures={"": figure()},
        captions={"": "A point."},
        **options,
    )


@pytest.mark.parametrize("image_format", ["png", "svg", "pdf"])
def test_four_files_and_nothing_else(tmp_path, image_format):
    paths = write(tmp_path, formats=[image_format], dpi=50)
    assert [p.name for p in paths] == [f"stem.{image_format}", "stem.npz", "stem.json", "stem.txt"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert paths == result_paths(tmp_path, "stem", [image_format])
    assert np.load(paths[1])["x"] == 1.0
    assert json.loads(paths[2].read_text())["value"] == 1.0
    assert paths[3].read_text() == f"stem: A point.\n\nMade with ndtools {ndtools.__version__}: ndtools test\n"
    if image_format == "png":
        with Image.open(paths[0]) as image:
            assert image.size == (320, 240)
    (tmp_path / "plain").write_text("")
    assert {p.stat().st_mode for p in paths} == {(tmp_path / "plain").stat().st_mode}


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_midway_leaves_the_older_files_whole(tmp_path, monkeypatch, failure):
    before = {path: path.read_bytes() for path in write(tmp_path, 1.0)}

    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt) as raised:
        write(tmp_path, 2.0)
    if isinstance(failure, OSError):
        assert "stem.npz: No space left" in str(raised.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
