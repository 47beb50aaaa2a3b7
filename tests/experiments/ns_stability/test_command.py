"""``ndtools ns-stability`` as its user meets it: screen, files, exit codes."""

import json
import re

import numpy as np
import pytest
import torch

from ndtools.experiments.ns_stability import atlas
from ndtools.experiments.ns_stability.atlas import CONDITIONS, Cell, PrecisionAtlas
from ndtools.experiments.ns_stability.coefficients import read_coefficients
from ndtools.numerics.iterations import CoupledNewtonSchulz
from ndtools.numerics.schedules import PUBLISHED
from ndtools.numerics.stability import Landmarks, inverse_sqrt_trace
from tests.commands import invoke, numbers, save
from tests.oracles.inverse_roots import SPECTRUM, assert_stable, spd
from tests.places import real

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def stability(source, out, *arguments):
    return invoke("ns-stability", *([] if source is None else [source]), "--out", out, *arguments)


def curves(content):
    return {(curve["algorithm"], curve["dtype"]): curve for curve in content["curves"]}


def test_an_iteration_that_has_not_come_near_the_solution_has_no_cost(tmp_path, out):
    image = save(tmp_path / "a.png")
    early = stability(image, out, "--iterations", 2, "--algorithms", "coupled", "--dtype", "float64")
    late = stability(image, out, "--iterations", 40, "--algorithms", "coupled", "--dtype", "float64")
    costs = [dict(zip(*(line.split() for line in cells(result)), strict=True))["cost"] for result in (early, late)]
    assert costs[0] == "-"
    assert int(costs[1]) > 0
    caption = (out / "ns-stability.txt").read_text()
    assert f"coupled Newton-Schulz {costs[1]}" in caption


def cells(result):
    """Header and row of a table of one curve; names of columns without spaces."""
    assert result.exit_code == 0, result.stderr
    header, row = result.stdout.splitlines()[1:3]
    return re.sub(r"it (\d+)", r"it\1", header), row


def test_an_image(tmp_path, out):
    result = stability(save(tmp_path / "a.png"), out, "--iterations", 20)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("‖D·D·A - I‖ by iteration · 3×3 patches of ")
    assert lines[0].split(" · ")[-3:-1] == ["27×27", "eps 1e-05"]
    assert lines[1].split() == [
        "algorithm",
        "dtype",
        "it",
        "5",
        "it",
        "10",
        "it",
        "15",
        "best",
        "whitening",
        "cost",
        "diverges",
        "overflows",
    ]
    assert [line.split()[:2] for line in lines[2:12]] == [
        [algorithm, dtype]
        for algorithm in ("coupled", "vanilla", "chebyshev", "denman-beavers", "gram")
        for dtype in ("float32", "float64")
    ]
    assert all(len(line) <= 100 for line in lines[1:])
    content = numbers(out, "ns-stability")
    assert content["features"] == 27
    assert content["images"].pop("rounding_noise") == pytest.approx(1 / 255**2 / 12)
    assert content["images"] == {"read": 1, "skipped": [], "first_frame_only": [], "repeated": 0}
    with np.load(out / "ns-stability.npz") as arrays:
        assert arrays["iterations"].tolist() == list(range(1, 21))
        assert arrays["covariance"].shape == (27, 27)
        a = arrays["covariance"] + 1e-5 * np.eye(27)
        assert content["condition"] == pytest.approx(np.linalg.cond(a), rel=1e-6)
        for (algorithm, dtype), curve in curves(content).items():
            found = arrays[f"{algorithm}_{dtype}"]
            assert [None if np.isnan(x) else x for x in found] == curve["residual"]
            assert curve["best_residual"] == np.nanmin(found) == found[curve["best_iteration"] - 1]
            whitening = arrays[f"{algorithm}_{dtype}_whitening"]
            assert [None if np.isnan(x) else x for x in whitening] == curve["whitening_residual"]
            assert curve["whitening_residual_at_best"] == whitening[curve["best_iteration"] - 1]
    coupled, vanilla = curves(content)["coupled", "float32"], curves(content)["vanilla", "float32"]
    assert coupled["divergence_iteration"] is coupled["first_bad_iteration"] is None
    assert vanilla["residual"][vanilla["first_bad_iteration"] - 1] is None
    assert abs(vanilla["predicted_first_bad_iteration"] - vanilla["first_bad_iteration"]) <= 2
    assert abs(vanilla["predicted_divergence_iteration"] - vanilla["divergence_iteration"]) <= 2
    assert coupled["products"][:3] == [0, 3, 6]


def test_lenna(out):
    assert stability(real("lenna.png"), out, "--iterations", 1000).exit_code == 0
    content = numbers(out, "ns-stability")
    assert content["condition"] == pytest.approx(8.31e3, rel=1e-3)
    with np.load(out / "ns-stability.npz") as arrays:
        a = torch.from_numpy(arrays["covariance"] + 1e-5 * np.eye(27))
    for dtype in (torch.float32, torch.float64):
        residual = curves(content)["coupled", str(dtype).removeprefix("torch.")]["residual"]
        assert_stable(dict(enumerate(residual, start=1)), a, dtype)
        assert (residual[4], residual[9]) == pytest.approx((4.58, 1.83), abs=0.01)  # as in the paper's figure
    for dtype, best, lost in (("float32", 6, 13), ("float64", 10, 17)):
        vanilla = curves(content)["vanilla", dtype]
        assert abs(vanilla["best_iteration"] - best) <= 1  # rounding decides which
        assert abs(vanilla["first_bad_iteration"] - lost) <= 1
        assert vanilla["residual"][best + 4] > 1e3


def test_a_folder_and_the_default(photos, out):  # noqa: F811
    assert stability(photos, out, "--norm", "trace").exit_code == 0
    assert numbers(out, "ns-stability")["images"]["read"] == 4
    assert numbers(out, "ns-stability")["norm"] == "trace"
    assert stability(None, out, "--iterations", 3, "--quiet").exit_code == 0
    content = numbers(out, "ns-stability")
    assert (content["input"], content["config"]["kernel_size"]) == ("sample-photo", 3)


def test_a_matrix_and_half_precision(tmp_path, out):
    matrix = spd(SPECTRUM, seed=1).numpy()
    np.savez(tmp_path / "a.npz", covariance=matrix)
    result = stability(tmp_path / "a.npz", out, "--eps", 0, "--dtype", "float16, bfloat16,float64")
    assert result.exit_code == 0
    assert "left out denman-beavers in float16" in result.stderr
    content = numbers(out, "ns-stability")
    assert content["condition"] == pytest.approx(8.31e3, rel=1e-3)
    assert content["images"] is None
    found = curves(content)
    assert ("denman-beavers", "float16") not in found
    assert ("denman-beavers", "float64") in found
    assert found["coupled", "bfloat16"]["best_residual"] > 1 > 1e-9 > found["coupled", "float64"]["best_residual"]
    np.save(tmp_path / "b.npy", matrix)
    assert stability(tmp_path / "b.npy", out, "--eps", 1).exit_code == 0
    assert numbers(out, "ns-stability")["condition"] < 2
    assert curves(numbers(out, "ns-stability"))["vanilla", "float64"]["divergence_iteration"] is None


def test_matrices_of_any_unit_and_precision(tmp_path, out):
    a = spd(np.geomspace(0.1, 1, 5), seed=2).numpy()
    for scale in (1e-200, 1e-30, 1e30, 1e200):
        np.save(tmp_path / "a.npy", a * scale)
        assert stability(tmp_path / "a.npy", out, "--eps", 0, "--iterations", 20).exit_code == 0
        for curve in numbers(out, "ns-stability")["curves"]:
            if curve["algorithm"] != "vanilla" and curve["dtype"] == "float64":
                assert curve["best_residual"] < 1e-13
    single = a.astype(np.float32)
    single[0, 1] *= 1 + 3e-7  # symmetric up to rounding in float32, but not in float64
    np.save(tmp_path / "a.npy", single)
    assert stability(tmp_path / "a.npy", out).exit_code == 0
    np.save(tmp_path / "a.npy", single.astype(np.float64))
    assert stability(tmp_path / "a.npy", out).exit_code == 3


def test_what_is_far_below_the_ridge_is_measured_fairly(tmp_path, out):
    """A matrix whose eigenvalues are far above eps: no iteration is told that they may be as small."""
    np.save(tmp_path / "a.npy", spd(np.geomspace(1e3, 1e5, 27), seed=2).numpy())
    assert stability(tmp_path / "a.npy", out, "--dtype", "float16,float32").exit_code == 0
    content = numbers(out, "ns-stability")
    assert content["lower"] == pytest.approx(1e3 / np.linalg.norm(np.geomspace(1e3, 1e5, 27)))
    found = curves(content)
    for dtype in ("float16", "float32"):
        assert found["chebyshev", dtype]["best_residual"] < 3 * found["coupled", dtype]["best_residual"]


def test_no_divergence_is_predicted_of_a_diagonal_matrix(tmp_path, out):
    np.save(tmp_path / "a.npy", np.diag([1.0, 0.3, 0.02]))
    assert stability(tmp_path / "a.npy", out).exit_code == 0
    vanilla = curves(numbers(out, "ns-stability"))["vanilla", "float64"]
    assert vanilla["divergence_iteration"] is vanilla["predicted_divergence_iteration"] is None


def test_rounding_about_a_lucky_best_is_no_divergence(tmp_path, out):
    np.save(tmp_path / "a.npy", np.eye(3) * 0.3)
    result = stability(tmp_path / "a.npy", out, "--eps", 0)
    rows = [line.split() for line in result.stdout.splitlines()[2:12]]
    assert {row[8] for row in rows} == {"-"}


@pytest.fixture
def three_conditions(monkeypatch):
    """Sweeps over three condition numbers instead of twenty."""
    assert len(CONDITIONS) == 20
    monkeypatch.setattr(atlas, "CONDITIONS", (CONDITIONS[0], 1e3, 1e9))


@pytest.mark.usefixtures("three_conditions")
def test_sweep(tmp_path, out):
    np.save(tmp_path / "a.npy", np.diag([1.0, 2.0, 5.0]))
    result = stability(tmp_path / "a.npy", out, "--sweep", "--iterations", 20, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    sweep = numbers(out, "ns-stability")["sweep"]
    assert len(sweep["runs"]) == 3 * 2 * 2 * (5 * 4 - 2)
    assert sweep["conditions"][0] == pytest.approx(10**0.5)
    with np.load(out / "ns-stability.npz") as arrays:
        assert arrays["sweep_best_residual"].shape == (2, 2, 3, 5, 4)
        run = sweep["runs"][-1]
        assert run["algorithm"] == "gram"
        assert arrays["sweep_best_residual"][-1, -1, -1, -1, -1] == run["best_residual"]
        assert arrays["sweep_dtypes"].tolist() == ["bfloat16", "float16", "float32", "float64"]
    # One cell, on its own.
    generator = torch.Generator().manual_seed(3)
    q = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator)).Q
    (run,) = (
        run
        for run in sweep["runs"]
        if (run["algorithm"], run["dtype"], run["norm"], run["spectrum"])
        == ("coupled", "float32", "trace", "log-uniform")
        and run["condition"] == 1e3
    )
    a = (q * torch.logspace(-3, 0, 3, dtype=torch.float64)) @ q.mT
    a = (a + a.mT) / 2
    found = list(inverse_sqrt_trace(a, CoupledNewtonSchulz(norm="trace"), 20, torch.float32))
    best = min(record.residual for record in found)
    assert best / 4 < run["best_residual"] < 4 * best  # rounding: its size, not its digits
    assert run["settled_iteration"] == pytest.approx(Landmarks.of([r.residual for r in found]).settled_iteration, abs=1)
    seeds = []
    for seed in (3, 4):
        assert stability(tmp_path / "a.npy", out, "--sweep", "--iterations", 2, "--seed", seed).exit_code == 0
        seeds.append(numbers(out, "ns-stability")["sweep"])
    assert seeds[0] != seeds[1]


def test_limits_of_an_atlas():
    def cell(dtype, condition, best, bad=None, norm="fro"):
        return Cell("coupled", dtype, norm, "image", condition, Landmarks(best, 1, 1, None, bad), None)

    cells = [cell("float32", c, b) for c, b in zip(CONDITIONS[:4], (1e-6, 1e-5, 1e-2, 1e-4), strict=True)]
    cells += [cell("float32", CONDITIONS[1], 1e-6, norm="trace"), cell("float32", CONDITIONS[5], 5.0, 7)]
    cells += [cell("float16", CONDITIONS[0], None, 1)]
    assert PrecisionAtlas(20, 3, tuple(cells)).limits(1e-3) == [
        ("coupled", "float16", None, CONDITIONS[0]),
        ("coupled", "float32", CONDITIONS[1], CONDITIONS[5]),
    ]


@pytest.mark.parametrize(
    ("matrix", "arguments", "code", "message"),
    [
        (np.zeros((2, 3)), (), 3, "square"),
        ([[1.0, 2.0], [0.0, 1.0]], (), 3, "must be symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], (), 3, "must be finite"),
        ([[2.0]], (), 3, "1×1"),
        (np.diag([1.0, -1.0]), (), 4, "not positive definite"),
        (np.ones((2, 2)), ("--eps", "0"), 4, "add a ridge"),
        (np.eye(2), ("--eps", "-1"), 2, "--eps"),
        (np.eye(2), ("--iterations", "0"), 2, "--iterations"),
        (np.eye(2), ("--dtype", "float8"), 2, "--dtype must be one of bfloat16, float16, float32, float64"),
        (np.eye(2), ("--dtype", ","), 2, "--dtype must name one or more"),
        (np.eye(2), ("--dtype", "float32,float32"), 2, "each once"),
        (np.eye(2), ("--algorithms", "gram,newton"), 2, "--algorithms must be one of coupled, vanilla, chebyshev, "),
        (np.eye(2), ("--algorithms", "gram,gram"), 2, "--algorithms must name one or more algorithms, each once"),
        (np.eye(2), ("--restart", "0"), 2, "--restart must be at least 1, got 0"),
        (np.eye(2), ("--restart", "2", "--algorithms", "coupled"), 2, "--restart has no meaning without the algorithm"),
        (np.eye(2), ("--restart-form", "zaz"), 2, "--restart-form has no meaning without a number of iterations"),
        (np.eye(2), ("--coefficients", "cubic"), 2, "simple, quintic, polar-express, or a .json or .csv file, got"),
        (np.eye(2), ("--coefficients", "quintic", "--algorithms", "vanilla"), 2, "--coefficients have no meaning"),
        (np.eye(2), ("--coefficients", "none.json"), 3, "cannot read the coefficients in none.json"),
        *(
            (
                np.eye(2),
                ("--sweep", *option),
                2,
                f"{option[0]} has no meaning with --sweep, which runs all precisions and norms",
            )
            for option in (
                ("--algorithms", "gram"),
                ("--coefficients", "quintic"),
                ("--restart", "1"),
                ("--restart-form", "zaz"),
            )
        ),
    ],
)
def test_bad_input(tmp_path, out, matrix, arguments, code, message):
    np.save(tmp_path / "a.npy", matrix)
    result = stability(tmp_path / "a.npy", out, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert not list(out.glob("*"))


def test_restarts_of_gram(tmp_path, out):
    np.save(tmp_path / "a.npy", spd(SPECTRUM, seed=1).numpy())
    options = ("--eps", 0, "--algorithms", "gram,coupled", "--dtype", "float64", "--restart", 2)
    result = stability(tmp_path / "a.npy", out, *options)
    assert [line.split()[0] for line in result.stdout.splitlines()[2:4]] == ["gram", "coupled"]
    assert "gram: M = Z·A·Zᵀ after every 2 iterations" in result.stdout
    stable = curves(numbers(out, "ns-stability"))["gram", "float64"]
    assert stable["first_bad_iteration"] is None
    assert stable["whitening_residual"][-1] < 1e-10
    assert stable["predicted_growth"] == 1
    assert stability(tmp_path / "a.npy", out, *options, "--restart-form", "zaz").exit_code == 0
    unstable = curves(numbers(out, "ns-stability"))["gram", "float64"]
    assert unstable["first_bad_iteration"] < 50
    # Two restarts are four iterations; an error grows by (√κ - 1)/2 at each.
    assert unstable["predicted_growth"] == pytest.approx((((8.31e3) ** 0.5 - 1) / 2) ** 0.5, rel=1e-3)
    grown = unstable["residual"][25] / unstable["residual"][21]
    assert grown == pytest.approx(unstable["predicted_growth"] ** 4, rel=0.3)


def test_coefficients_of_muon_are_said_not_to_converge(tmp_path, out):
    np.save(tmp_path / "a.npy", spd(SPECTRUM, seed=1).numpy())
    result = stability(tmp_path / "a.npy", out, "--eps", 0, "--coefficients", "quintic")
    assert "quintic, which do not converge:" in result.stdout
    assert "gains (standard deviations) end between 0.68 and 1.13, not at 1" in result.stdout
    content = numbers(out, "ns-stability")
    assert content["coefficients"]["rows"] == [[3.4445, -4.7750, 2.0315]]
    assert "kellerjordan.github.io" in content["coefficients"]["source"]
    for name in ("coupled", "gram"):
        curve = curves(content)[name, "float64"]
        assert 1 < curve["best_residual"] < curve["residual"][-1] < 5.2  # √27, that of D = 0
        assert curve["predicted_growth"] is None


def test_the_same_coefficients_by_name_and_from_a_file(tmp_path, out):
    np.save(tmp_path / "a.npy", spd(SPECTRUM, seed=1).numpy())
    rows = [list(row) for row in PUBLISHED["polar-express"]]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    found = []
    for name in ("polar-express", file):
        options = ("--coefficients", name, "--algorithms", "gram", "--iterations", 9)
        assert stability(tmp_path / "a.npy", out, "--eps", 0, *options).exit_code == 0
        content = numbers(out, "ns-stability")
        assert content["coefficients"]["rows"] == rows
        assert content["coefficients"]["final_gains"] == pytest.approx([1, 1])
        found.append(curves(content)["gram", "float64"]["residual"])
    assert content["coefficients"]["source"] == str(file)
    assert found[0] == found[1]
    assert found[0][-1] < 1e-10
    (tmp_path / "rows.csv").write_text("# q0, q1, q2\n" + "\n\n".join(", ".join(map(str, row)) for row in rows))
    assert read_coefficients(str(tmp_path / "rows.csv")) == PUBLISHED["polar-express"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[[1.5, -0.5", "must hold rows such as [[3.4, -4.8, 2.0], [1.5, -0.5]]: it cannot be read"),
        ("a.json", "[1.5, -0.5]", "must hold rows such as"),
        ("a.json", '{"rows": []}', "must hold rows such as"),
        ("a.json", "[[1.5, true]]", "must hold numbers only, got 'True'"),
        ("a.json", "[]", "must have 1 to 1000 rows, got 0"),
        ("a.json", "[[1.5, -0.5], [1]]", "must have 2 to 8 numbers in each row, got 1 in row 2"),
        ("a.json", "[[1.5, 1e999]]", "must be finite, got inf in row 1"),
        ("a.csv", "a, b", "must hold numbers only, got 'a'"),
        ("a.csv", "1.5; -0.5", "must hold numbers only, got '1.5; -0.5'"),
        ("a.csv", "1.5,nan", "must be finite, got nan in row 1"),
        ("a.csv", b"\xff\xfe1", "is not text in UTF-8"),
    ],
)
def test_files_of_coefficients_that_are_refused(tmp_path, out, name, content, message):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = stability(tmp_path / "m.npy", out, "--coefficients", tmp_path / name)
    assert result.exit_code == 3
    assert f"{name} {message}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_images_that_are_too_small_or_absent(tmp_path, out):
    assert stability(save(tmp_path / "a.png", (2, 9)), out).exit_code == 3
    assert stability(tmp_path / "nothing.png", out).exit_code == 3
    assert stability(tmp_path / "nothing.npz", out).exit_code == 3
    assert stability(save(tmp_path / "b.png"), out, "-k", 0).exit_code == 2


@pytest.mark.usefixtures("three_conditions")
def test_equal_eigenvalues(tmp_path, out):
    np.save(tmp_path / "a.npy", np.eye(4))
    assert stability(tmp_path / "a.npy", out, "--sweep", "--iterations", 5).exit_code == 0
    assert stability(tmp_path / "a.npy", out).exit_code == 0
    assert numbers(out, "ns-stability")["condition"] == 1
