"""Shards of a source: their moments add up to those of the source, to the bit, and nothing counts twice."""

import itertools
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch

from ndtools.data.images.sources import Skipped, resolve_source
from ndtools.errors import DataError, MatrixError, NoUsableImageError, OptionError
from ndtools.moments.adding import TreeSum
from ndtools.moments.files import Moments, iterate_moments
from ndtools.moments.groups import moments_of_files
from ndtools.moments.images import image_moments
from ndtools.moments.origin import Origin, PatchSetting, Shard
from ndtools.moments.sharded import shard_moments
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.patch_covariance import PatchCovariance
from tests.commands import invoke, numbers, save

SETTING = PatchSetting(kernel_size=3)


def random_covariance(seed):
    rng = np.random.default_rng(seed)
    return PatchCovariance(1, 2).update(rng.random((1, 6 + seed % 5, 7))).finalize()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 13])
def test_a_sum_does_not_depend_on_the_order_of_its_parts(count):
    parts = [random_covariance(i) for i in range(count)]
    orders = list(itertools.islice(itertools.permutations(range(count)), 200))[::7] + [range(count)[::-1]]
    totals = []
    for order in orders:
        tree = TreeSum()
        for i in order:
            tree.add(i, parts[i])
        totals.append(tree.total())
    for total in totals:
        assert torch.equal(total.matrix, totals[0].matrix)
        assert torch.equal(total.mean, totals[0].mean)
        assert (total.count, total.rounding) == (totals[0].count, totals[0].rounding)
    wanted = Covariance.pooled(parts)
    torch.testing.assert_close(totals[0].matrix, wanted.matrix, rtol=1e-13, atol=1e-15)


def test_a_sum_takes_each_part_once_and_has_no_gaps():
    tree = TreeSum()
    tree.add(0, random_covariance(0))
    with pytest.raises(ValueError, match="part 0 must be added once"):
        tree.add(0, random_covariance(0))
    tree.add(2, random_covariance(2))
    with pytest.raises(ValueError, match="none with number 1"):
        tree.total()
    tree.add(1, None)  # a part without patches counts nothing
    assert tree.total().count == random_covariance(0).count + random_covariance(2).count


def test_parts_divide_a_source(photos):
    source = resolve_source(photos)
    for of in range(1, 5):
        shards = [source.shard(i, of) for i in range(1, of + 1)]
        assert [entry.name for shard in shards for entry in shard] == [entry.name for entry in source]
        assert max(map(len, shards)) - min(map(len, shards)) <= 1
    with pytest.raises(OptionError, match="at most as many parts as .* has images, 4"):
        source.shard(1, 5)


def test_an_archive_is_in_one_part_unless_there_are_too_few(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, members in (("a", "0"), ("b", "123"), ("c", "0123")):
        with tarfile.open(f"{name}.tar", "w") as archive:
            for member in members:
                archive.add(photos / f"{member}.jpg", f"{member}.jpg")
    source = resolve_source("*.tar")
    assert [len(source.shard(i, 3)) for i in (1, 2, 3)] == [1, 3, 4]
    assert [len(source.shard(i, 2)) for i in (1, 2)] == [1, 7]
    assert [len(source.shard(i, 4)) for i in (1, 2, 3, 4)] == [2, 2, 2, 2]


def saved(source, of, folder, setting=SETTING, jobs=1):
    paths = []
    for i in range(1, of + 1):
        covariance, found, origin = shard_moments(source, setting, Shard(i, of), jobs=jobs)
        paths.append(folder / f"{i}.npz")
        Moments(covariance, found.read, setting.resize, noise=found.noise, origin=origin).save(paths[-1])
    return list(map(str, paths))


def test_files_of_shards_add_up_in_any_order_and_with_any_number_of_threads(photos, tmp_path):
    source = resolve_source(photos)
    paths = saved(source, 3, tmp_path)
    (tmp_path / "threads").mkdir()
    others = saved(source, 3, tmp_path / "threads", jobs=3)
    sums = [moments_of_files(p).by_size[0].whole for p in (paths, paths[::-1], others[1:] + others[:1])]
    for covariance in sums:
        assert torch.equal(covariance.matrix, sums[0].matrix)
        assert torch.equal(covariance.mean, sums[0].mean)
    whole = image_moments(source, kernel_size=3, eps=1e-3).moments.finalize()
    assert sums[0].count == whole.count
    scale = whole.matrix.abs().max().item()
    # Images are transformed in float32; the order of the sums changes their roundings.
    torch.testing.assert_close(sums[0].matrix, whole.matrix, rtol=0, atol=1e-6 * scale)
    assert moments_of_files(paths).noise == pytest.approx(1 / 255**2 / 12, rel=1e-12)


def test_a_missing_shard_and_one_that_comes_twice_are_named(photos, tmp_path):
    paths = saved(resolve_source(photos), 4, tmp_path)
    with pytest.raises(DataError, match=r"2 of 4 shards of .*photos are missing: 2, 4; .* `shard=2/4` and so on"):
        list(iterate_moments([paths[2], paths[0]]))
    with pytest.raises(DataError, match=r"1 of 4 shards of .*photos is missing: 3; name its file, or make it"):
        list(iterate_moments([paths[3], paths[0], paths[1]]))
    again = tmp_path / "again.npz"
    again.write_bytes((tmp_path / "2.npz").read_bytes())
    with pytest.raises(OptionError, match=r"2.npz and .*again.npz both hold shard 2/4 of .*photos"):
        list(iterate_moments([*paths, str(again)]))


def test_shards_that_do_not_fit_are_refused(photos, tmp_path):
    source = resolve_source(photos)
    paths = saved(source, 2, tmp_path)
    for what, other, setting, of in (
        ("1.npz: its resize is 20, that of the others not set", photos, PatchSetting(kernel_size=3, resize=20), 2),
        ("1.npz: its precision_for_eps is 1e-09", photos, PatchSetting(kernel_size=3, eps=1e-9), 2),
        ("1.npz: it is shard 2/3, where the others are of 2 shards", photos, SETTING, 3),
        ("1.npz: it is of .*other, the others of .*photos", tmp_path / "other", SETTING, 2),
    ):
        folder = tmp_path / "other"
        folder.mkdir(exist_ok=True)
        for i in range(3):
            save(folder / f"{i}.png", seed=i)
        files = saved(resolve_source(other), of, tmp_path / "other", setting)
        with pytest.raises(MatrixError, match=what):
            list(iterate_moments([paths[0], files[1]]))
    save(photos / "new.png")
    changed = saved(resolve_source(photos), 2, tmp_path / "other")
    with pytest.raises(MatrixError, match="held other images then"):
        list(iterate_moments([paths[0], changed[1]]))
    whole = tmp_path / "whole.npz"
    covariance, found, origin = shard_moments(source, SETTING, Shard(1, 1))
    Moments(covariance, found.read).save(whole)
    with pytest.raises(MatrixError, match="does not say which shard it is"):
        list(iterate_moments([*paths, str(whole)]))


def test_the_moments_of_a_source_count_once(photos, tmp_path):
    for name in ("a", "b"):
        path = tmp_path / f"{name}.npz"
        assert invoke("covariance", photos, "-o", tmp_path, "--save-moments", path, "-q").exit_code == 0
    result = invoke("kernels", "--from-moments", tmp_path / "a.npz", tmp_path / "b.npz", "-o", tmp_path)
    assert result.exit_code == 2
    assert "both hold" in result.stderr and "count twice" in result.stderr


def test_an_origin_that_is_not_known(tmp_path):
    arrays = Moments(random_covariance(0), 1, origin=Origin.of("x", "y", SETTING, Shard(1, 2))).arrays()
    known = b'{"source": "x", "listing": "y", "setting": %s, "shard": %s}'
    for text in (b"{}", b"null", b"no json", known % (b"{}", b"[3, 2]"), known % (b"[]", b"null"), b"\xff"):
        np.savez(tmp_path / "m.npz", **{**arrays, "origin": np.frombuffer(text, np.uint8)})
        with pytest.raises(MatrixError, match="does not say what its moments come from"):
            list(iterate_moments([str(tmp_path / "m.npz")]))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2"])
def test_a_shard_that_is_none(photos, tmp_path, text):
    result = invoke("kernels", photos, f"--shard={text}", "--save-moments", tmp_path / "m.npz")
    assert result.exit_code == 2
    assert "--shard must be I/N with I from 1 to N" in result.stderr


def test_commands_save_shards_and_add_them_up(photos, tmp_path, unpainted):
    out = ("-o", tmp_path / "out")
    for i in (1, 2, 3):
        result = invoke("kernels", photos, "-k", 3, "--shard", f"{i}/3", "--save-moments", tmp_path / f"m{i}.npz")
        assert result.exit_code == 0, result.stderr
        assert f"Shard {i}/3 of" in result.stdout and f"m{i}.npz" in result.stderr
    assert not (tmp_path / "out").exists()
    result = invoke("kernels", "--from-moments", tmp_path / "m?.npz", *out, "--save-moments", tmp_path / "sum.npz")
    assert result.exit_code == 0, result.stderr
    (whole,) = list(iterate_moments([str(tmp_path / "sum.npz")]))
    assert whole.origin.shard is None and whole.origin.source == str(photos) and whole.images == 4
    result = invoke("covariance", "--from-moments", tmp_path / "m?.npz", *out)
    assert result.exit_code == 0, result.stderr
    with np.load(tmp_path / "out" / "covariance.npz") as found, np.load(tmp_path / "out" / "kernels.npz") as kernels:
        assert np.array_equal(found["covariance"], kernels["covariance"])
        assert np.array_equal(found["covariance"], whole.covariance.matrix.numpy())
    assert numbers(tmp_path / "out", "covariance")["images"]["read"] == 4
    (tmp_path / "m2.npz").unlink()
    result = invoke("covariance", "--from-moments", tmp_path / "m?.npz", *out)
    assert result.exit_code == 3
    assert "1 of 3 shards" in result.stderr and "--shard 2/3" in result.stderr
    result = invoke("covariance", "--from-moments", tmp_path / "none*.npz", *out)
    assert result.exit_code == 2 and "matches none" in result.stderr


def test_a_shard_as_json(photos, tmp_path):
    path = tmp_path / "m.npz"
    result = invoke("covariance", photos, "-n", 3, "--shard", "1/2", "--save-moments", path, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["shard"], found["images"]["read"], found["moments"]) == ("1/2", 1, str(path))
    assert found["setting"]["images"] == 3 and found["setting"]["seed"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--shard needs --save-moments FILE"),
        (("--save-moments", "m.npz", "--fit"), "--fit has no meaning with --shard"),
        (("--save-moments", "m.npz", "--name", "x"), "--name has no meaning with --shard"),
        (("--save-moments", "m.npz", "-k", "3,5"), "several kernel sizes"),
        (("--save-moments", "m.npz", "--from-moments", "x.npz"), "--from-moments has no meaning with --shard"),
    ],
)
def test_what_a_shard_has_no_use_for(photos, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = invoke("kernels", photos, "--shard", "1/2", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "m.npz").exists()


@pytest.mark.parametrize(
    "error", [OptionError("eps", "is bad"), NoUsableImageError("none", (Skipped("a", "b"),)), DataError("x")]
)
def test_errors_come_back_from_other_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
