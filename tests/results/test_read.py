"""Files of results read back, and what is refused."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from ndtools.errors import DataError
from ndtools.results.files import write_results
from ndtools.results.read import FORMAT_VERSION, load

MANIFEST = {
    "experiment": "kernels",
    "format_version": FORMAT_VERSION,
    "command": "ndtools kernels photos",
    "config": {"eps": 0.1, "widths": [1, 2]},
    "seed": 3,
    "versions": {"ndtools": "9.9"},
    "device": "cpu",
    "input": "photos",
    "seconds": 1.5,
}


def write(folder, **changes):
    content = {key: value for key, value in {**MANIFEST, "value": 0.1, **changes}.items() if value is not ...}
    arrays = {"x": np.array([1.0, np.nan]), "names": np.array(["a", "bc"])}
    write_results(folder, "stem", arrays=arrays, numbers=content, figures={"": Figure()}, captions={"": ""}, dpi=10)
    return folder / "stem.json"


def test_numbers_arrays_and_manifest_come_back(tmp_path):
    saved = load(write(tmp_path, nothing=float("nan")))
    assert (saved.experiment, saved.source, saved.device) == ("kernels", "photos", "cpu")
    assert saved.numbers == {"value": 0.1, "nothing": None}
    assert saved.manifest == MANIFEST
    np.testing.assert_array_equal(saved.arrays["x"], [1.0, np.nan])
    assert saved.arrays["names"].tolist() == ["a", "bc"]


def test_files_without_a_version_are_known_by_their_command_line(tmp_path):
    assert load(write(tmp_path, experiment=..., format_version=...)).experiment == "kernels"
    assert load(write(tmp_path, experiment=..., format_version=..., command="'")).experiment == ""


@pytest.mark.parametrize("form", [FORMAT_VERSION + 1, -1, "1", 1.5, True, None, [1]])
def test_newer_and_unknown_forms_are_refused(tmp_path, form):
    with pytest.raises(DataError, match="has format version .*ndtools 9.9 wrote it; update ndtools"):
        load(write(tmp_path, format_version=form))


@pytest.mark.parametrize("key", ["command", "config", "versions", "input", "device"])
def test_other_json_files_are_refused(tmp_path, key):
    with pytest.raises(
        DataError, match=f"is no result of an experiment: it has no '{key}'; give the .json or .npz file"
    ):
        load(write(tmp_path, **{key: ...}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"config": "'])
def test_what_is_no_json_of_a_result_is_refused(tmp_path, content):
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"stem.json is (not JSON, or is cut short|no result)"):
        load(path)


def test_a_configuration_that_is_no_object_is_refused(tmp_path):
    for key in ("config", "versions"):
        with pytest.raises(DataError, match="is no object"):
            load(write(tmp_path, **{key: 1}))


def test_absent_files_and_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file: '.*other.json'; give the .json or .npz file"):
        load(tmp_path / "other.json")
    with pytest.raises(DataError, match=r" is a folder; give the .json or .npz file"):
        load(tmp_path)
    path = write(tmp_path)
    path.with_suffix(".npz").unlink()
    with pytest.raises(
        DataError, match=r"no such file: '.*stem.npz', which holds the arrays of .*stem.json.*: ndtools kernels photos$"
    ):
        load(path)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".txt"])
def test_a_picture_of_a_result_names_the_result(tmp_path, suffix):
    path = write(tmp_path)
    with pytest.raises(DataError, match=rf"stem{suffix} is a figure or a caption.*; give .*stem.json$"):
        load(path.with_suffix(suffix))
    with pytest.raises(DataError, match=rf"other{suffix} is a figure or a caption.*; give the .json or .npz file"):
        load(tmp_path / f"other{suffix}")


def test_the_arrays_find_the_numbers_beside_them(tmp_path):
    path = write(tmp_path)
    assert load(path.with_suffix(".npz")).path == str(path)
    path.unlink()
    with pytest.raises(DataError, match=r"stem.npz as a result: the file .*stem.json, which holds its numbers, is not"):
        load(path.with_suffix(".npz"))
    with pytest.raises(DataError, match="no such file: '.*none.npz'; give"):
        load(tmp_path / "none.npz")


def test_files_of_networks_and_other_bytes_are_named_as_such(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"\x88\x00\x00\x00")
    (tmp_path / "x.json").write_bytes(b'{"\x88"}')
    with pytest.raises(DataError, match=r"net.safetensors is the file of a network, .* nd.load_network reads it; give"):
        load(tmp_path / "net.safetensors")
    with pytest.raises(DataError, match=r"x.json is not JSON: its bytes are no text; give"):
        load(tmp_path / "x.json")


@pytest.mark.parametrize("kept", [0, 10, 200, -30])
def test_cut_arrays_are_refused(tmp_path, kept):
    path = write(tmp_path)
    arrays = path.with_suffix(".npz")
    arrays.write_bytes(arrays.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"stem.npz.*(damaged or cut short)"):
        load(path)


def test_arrays_of_another_kind_are_refused(tmp_path):
    path = write(tmp_path)
    with path.with_suffix(".npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="one array without a name"):
        load(path)
    with path.with_suffix(".npz").open("wb") as file:
        np.savez(file, x=np.array([object()], dtype=object))
    with pytest.raises(DataError, match="damaged or cut short"):
        load(path)


def test_files_are_strict_json(tmp_path):
    json.loads(write(tmp_path).read_text(), parse_constant=pytest.fail)
