"""Results of all experiments, restored from their files: equal values, equal figures."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import ndtools as nd
from ndtools.console.results import ExperimentOutput
from ndtools.errors import DataError
from ndtools.experiments.saved import EXPERIMENTS
from tests.commands import invoke, save
from tests.figures import shown
from tests.layout import faults, smallest_type
from tests.places import ROOT
from tests.run_folders import write_run
from tests.small_set import write_small_set

pytestmark = pytest.mark.usefixtures("unpainted")


SMALL_REGRESS = ("--iterations", 8, "--batch-size", 100)
SMALL_MLP = ("--hidden", "6,5", "--epochs", 2, "--batch-size", 50)
VARIANTS = {
    "kernels": ("kernels", "{photos}", "-k", 5),
    "kernels-one-pixel": ("kernels", "{photos}", "-k", 1, "--fit", "--relative-eps", "--eps", 1e-5),
    "kernels-fit": ("kernels", "{photos}", "-k", 9, "--fit"),
    "kernels-bootstrap": ("kernels", "{photos}", "-k", 5, "--bootstrap", 6),
    "kernels-gray-fit-bootstrap": ("kernels", "{photos}", "-k", 9, "--gray", "--fit", "--bootstrap", 6),
    "kernels-without-blue": ("kernels", "{yellow}", "-k", 7, "--fit", "--bootstrap", 6),
    "kernels-of-moments": ("kernels", "--from-moments", "{moments}", "--bootstrap", 6, "{more}"),
    "kernels-cones": ("kernels", "{photos}", "-k", 5, "--space", "lms", "--fit"),
    "deconvolve-log-cones": ("deconvolve", "{photo}", "--space", "log-lms"),
    "kernels-auto": ("kernels", "{photos}", "-k", 3, "--eps", "auto"),
    "kernels-series": ("kernels", "{photos}", "-k", "3,5", "--eps", "paper,1e-2,auto"),
    "kernels-series-of-moments": ("kernels", "--from-moments", "{moments}", "{more}", "--eps", "1e-2,auto"),
    "covariance-series": ("covariance", "{photos}", "--eps", "1e-2,1e-3", "--gray"),
    "covariance": ("covariance", "{photos}", "--method", "coupled", "--iterations", 5),
    "covariance-one-pixel": ("covariance", "{photos}", "-k", 1, "-n", 2),
    "deconvolve": ("deconvolve", "{photo}", "-k", 5),
    "deconvolve-series": ("deconvolve", "{photo}", "-k", "1,3", "--eps", "paper,auto"),
    "deconvolve-reflect": ("deconvolve", "{photo}", "--border", "reflect"),
    "deconvolve-grey": ("deconvolve", "{grey}"),
    "deconvolve-from": ("deconvolve", "{photo}", "--from", "{kernels}"),
    "deconvolve-from-grey": ("deconvolve", "{photo}", "--from", "{grey_kernels}"),
    "sparsity": ("sparsity", "{photos}", "--bootstrap", 3),
    "sparsity-series": ("sparsity", "{photos}", "-k", "1,3", "--eps", "paper,1e-3", "--bootstrap", 3),
    "sparsity-channel": ("sparsity", "{photos}", "--whitening", "channel", "--bins", 31),
    "sparsity-none": ("sparsity", "{photos}", "--whitening", "none", "--bootstrap", 0),
    "sparsity-flat": ("sparsity", "{flat}"),
    "sparsity-of-moments": ("sparsity", "{photos}", "--from-moments", "{moments}", "--bootstrap", 3),
    "stats": ("stats", "{photos}"),
    "stats-set": ("stats", "{set}", "--split", "all", "-n", 50),
    "stats-log-cones": ("stats", "{photos}", "--space", "log-lms"),
    "stats-constant": ("stats", "{flat}"),
    "compare-sets": ("compare-sets", "{photos}", "{photos}", "-k", 5, "--bootstrap", 6),
    "compare-sets-three": ("compare-sets", "{photos}", "{more}", "{yellow}", "--bootstrap", 0),
    "compare-sets-series": (
        "compare-sets",
        "{photos}",
        "{yellow}",
        "-k",
        "1,3",
        "--eps",
        "paper,1e-3",
        "--bootstrap",
        5,
    ),
    "compare-sets-ridges": ("compare-sets", "{photos}", "{yellow}", "{photos}", "-k", 3, "--eps", "1e-1,1e-2,1e-3"),
    "signals": ("signals", "-k", 5),
    "signals-auto": ("signals", "beads", "-k", "3x3x1", "--eps", "auto"),
    "ns-stability": ("ns-stability", "{photo}", "--dtype", "float16,float64"),
    "ns-stability-matrix": ("ns-stability", "{matrix}", "--eps", 0),
    "ns-stability-sweep": ("ns-stability", "{matrix}", "--sweep", "--iterations", 4),
    "regress": ("regress", "{set}", *SMALL_REGRESS, "--baseline-lr", "auto,30"),
    "regress-theory": ("regress", "{set}", *SMALL_REGRESS, "--theory", "--repeats", 2, "--shrinkage", "oas"),
    "regress-full-batch": ("regress", "{set}", "--full-batch", "--theory", "--loss", "l2", "--method", "eigh"),
    "mlp": ("mlp", "{set}", *SMALL_MLP, "--repeats", 1),
    "mlp-rates": ("mlp", "{set}", *SMALL_MLP, "--repeats", 2, "--lr", "0.1,0.5,1e6"),
    "deblur": ("deblur", "{large}", "--blur", "motion:5,30", "--iterations", 30),
    "deblur-grey": ("deblur", "{grey}", "--noise", 0, "-k", 5, "--blur", "gaussian:0.5", "--iterations", 1),
    "timing": ("timing", "--rows", "9,13", "--batch-size", 1, "--repeats", 2),
    "inference": ("inference", "simple_cnn", "--batch-size", 2, "--repeats", 2),
    "features": ("features", "{net}", "{photo}", "--layer", 3, "--size", 32),
    "features-untrained": ("features", "{grey}", "--norm", "bn", "--layer", 1, "--size", 48),
    "check": ("check", "--source", "{photos}", "--eps", 1e-3, "--gray"),
    "check-singular": ("check", "prop1", "prop2", "--source", "{photos}", "--dtype", "float32"),
    "check-one": ("check", "prop3", "--source", "{photo}", "--gray", "-k", 1),
    "compare": ("compare", "{runs}"),
    "compare-one-run": ("compare", "{runs}/gn-0", "--loss-steps", 30, "--smooth", 1),
}


# Conditions that make variants worth comparing.
REACHED = {
    "compare": lambda result: (
        [arm.finished for arm in result.arms] == [True, True, False] and len(result.arms[1].references) == 3
    ),
    "check": lambda result: len(result.outcomes) == 6 and result.images.skipped,
    "check-singular": lambda result: all(o.verdict == "cannot be decided" for o in result.outcomes),
    "kernels": lambda result: [s.name.rsplit("/", 1)[-1] for s in result.images.skipped] == ["broken.png"],
    "kernels-without-blue": lambda result: [cell.varies for cell in result.cells] == [True, True, False],
    "kernels-of-moments": lambda result: result.images.read == 2 and ", " in result.source,
    "deconvolve-from-grey": lambda result: result.reduced_to_luma,
    "sparsity-flat": lambda result: result.before.sigma == 0,
    "ns-stability": lambda result: result.left_out and np.isnan(result.curves[2].residual).any(),
    "regress": lambda result: any(arm.diverged for loss in result.losses for arm in loss.arms),
    "signals-auto": lambda result: result.ridge and len(result.fit.kernel_size) == 3,
    "kernels-auto": lambda result: len(result.ridge.ridges) > 50,
    "kernels-series": lambda result: (
        [(r.config.kernel_size, r.config.eps) for r in result][1::4] == [(3, 0.01), (5, "auto")]
    ),
    "deconvolve-series": lambda result: [bool(member.ridge) for member in result] == [False, True] * 2,
    "deblur": lambda result: min(result.blurred.shape[1:]) > 160,
}


LONG_NAME = "/home/someone/photographs of a summer/" + "a-name-that-does-not-end-" * 5 + ".png"


def with_long_name(result):
    """Name the source of a result such that no title holds it."""
    if isinstance(result, nd.Series):
        return dataclasses.replace(result, members=tuple(map(with_long_name, result)))
    if hasattr(result, "sets"):
        named = (replace_label(each) for each in result.sets)
        return dataclasses.replace(result, sets=tuple(named))
    if getattr(result, "images", None):
        return dataclasses.replace(result, images=dataclasses.replace(result.images, label=LONG_NAME))
    if hasattr(result, "data"):
        return dataclasses.replace(result, data=dataclasses.replace(result.data, name=LONG_NAME))
    own = "source" in {field.name for field in dataclasses.fields(result)}  # that of others is fixed
    return dataclasses.replace(result, source=LONG_NAME) if own else result


def replace_label(each):
    return dataclasses.replace(each, images=dataclasses.replace(each.images, label=LONG_NAME))


def mlp_extremes(result):
    """Yield runs that diverged, and one that is perfect."""
    for loss, accuracy in ((np.nan, 0.1), (1e-12, 1.0)):
        arms = [
            dataclasses.replace(
                arm, loss=np.full_like(arm.loss, loss), test_accuracy=np.full_like(arm.test_accuracy, accuracy)
            )
            for arm in result.arms
        ]
        yield dataclasses.replace(result, arms=tuple(arms))


def regress_extremes(result):
    """Yield a result in which all diverge at once, one of a perfect fit, and one of many rates."""
    for change in (
        lambda loss: {"arms": tuple(diverged(arm) for arm in loss.arms)},
        lambda loss: {"optimum": 0.0},
        lambda loss: {"arms": tuple(dataclasses.replace(a, lr=a.lr / 2**i) for i in range(4) for a in loss.arms)},
    ):
        losses = tuple(dataclasses.replace(loss, **change(loss)) for loss in result.losses)
        yield dataclasses.replace(result, losses=losses)


def diverged(arm):
    loss = np.where(np.arange(arm.loss.shape[1]), np.nan, arm.loss)
    nothing = np.full_like(arm.train_loss, np.nan)
    return dataclasses.replace(arm, loss=loss, train_loss=nothing, kernels=np.full_like(arm.kernels, np.nan))


def deblur_extremes(result):
    """Yield kernels of one pixel and of 31, and steps that were all equally far off."""
    for side in (1, 31):
        kernel = np.zeros((side, side))
        kernel[side // 2, side // 2] = 1.0
        arms = [
            dataclasses.replace(arm, kernel=kernel, snapshots=np.repeat(kernel[None], len(arm.snapshots), 0))
            for arm in result.arms
        ]
        yield dataclasses.replace(result, true_kernel=kernel, arms=tuple(arms))
    still = [dataclasses.replace(arm, kernel_error=np.ones_like(arm.kernel_error)) for arm in result.arms]
    yield dataclasses.replace(result, arms=tuple(still))


def features_extremes(result):
    """Yield a single channel of a wide image, and many channels of a tall one."""
    for shape, count in (((12, 96), 1), ((96, 12), 40)):
        channels = np.resize(result.inputs, (count, *shape))
        image = np.resize(result.image, (len(result.image), *shape))
        yield dataclasses.replace(result, image=image, inputs=channels, outputs=channels)


def compare_extremes(result):
    """Yield many arms with long names, and arms whose runs have no epoch yet."""
    arms = [
        dataclasses.replace(arm, name=f"a normalisation with a long name, rate 0.{i}, decay 0.0005")
        for i in range(3)
        for arm in result.arms
    ]
    yield dataclasses.replace(result, dataset=LONG_NAME, arms=tuple(arms))
    started = [
        dataclasses.replace(
            run,
            state="running",
            table={name: values[:0] for name, values in run.table.items()},
            step=run.step[:0],
            loss=run.loss[:0],
        )
        for run in result.arms[0].runs
    ]
    yield dataclasses.replace(result, arms=(dataclasses.replace(result.arms[0], runs=tuple(started)),))


def deconvolve_extremes(result):
    """Yield images much wider than high, and much higher than wide."""
    for shape in ((30, 240), (240, 30)):
        image = np.resize(result.image, (len(result.image), *shape))
        deconvolved = np.resize(result.deconvolved, (len(image), shape[0] - 4, shape[1] - 4))
        yield dataclasses.replace(result, image=image, deconvolved=deconvolved)


# Results that are hard to draw, made from those of variants.
EXTREMES = {
    "features": features_extremes,
    "compare": compare_extremes,
    "mlp": mlp_extremes,
    "regress": regress_extremes,
    "deblur": deblur_extremes,
    "deconvolve": deconvolve_extremes,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Paths of small inputs by the names that VARIANTS have for them."""
    folder = tmp_path_factory.mktemp("inputs")
    photos, yellow, flat = folder / "photos", folder / "yellow", folder / "flat"
    for each in (photos, yellow, flat):
        each.mkdir()
    for i in range(4):
        save(photos / f"{i}.png", seed=i)
        pixels = np.array(Image.open(photos / f"{i}.png"))
        Image.fromarray(pixels * np.uint8([1, 1, 0])).save(yellow / f"{i}.png")
    (photos / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (20, 20), (10, 20, 30)).save(flat / "0.png")
    Image.open(photos / "0.png").convert("L").save(folder / "grey.png")
    save(folder / "large.png", size=(190, 230))
    factor = np.random.default_rng(0).standard_normal((8, 12))
    np.save(folder / "matrix.npy", factor @ factor.T)
    torch.manual_seed(0)
    network = nd.build("vgg11", "deconv")
    network(torch.randn(4, 3, 32, 32))
    nd.save_network(network, folder / "net.safetensors")
    runs = folder / "runs"
    for seed in range(2):
        write_run(runs / f"bn-{seed}", seed=seed, epochs=20)
        write_run(runs / f"deconv-{seed}", norm="deconv", seed=seed, epochs=20, accuracy=93.0)
        write_run(runs / f"gn-{seed}", norm="gn", seed=seed, epochs=20, done=3 + seed, state="running", half=True)
    write_run(runs / "deconv-2", norm="deconv", seed=2, epochs=20, done=2, state="diverged")
    paths = {
        **{"runs": runs, "net": folder / "net.safetensors"},
        **{"photos": photos, "yellow": yellow, "flat": flat, "photo": photos / "1.png"},
        **{"grey": folder / "grey.png", "large": folder / "large.png", "matrix": folder / "matrix.npy"},
        **{"moments": folder / "a.npz", "more": folder / "b.npz", "set": write_small_set(folder / "blobs")},
        **{"kernels": folder / "kernels.npz", "grey_kernels": folder / "grey_kernels.npz"},
    }
    for source, moments, name, more in (
        (photos / "0.png", "moments", "kernels", ()),
        (photos / "2.png", "more", "unused", ()),
        (photos, None, "grey_kernels", ("--gray",)),
    ):
        saved = ("--save-moments", paths[moments]) if moments else ()
        result = invoke("kernels", source, "-k", 3, "-o", folder, "--name", name, *more, *saved)
        assert result.exit_code == 0, result.stderr
    return paths


def run_command(arguments, inputs, out):
    """Run a command; return its live result and the path of the .json file."""
    live = []
    write = ExperimentOutput.results
    words = [str(word).format(**inputs) for word in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ExperimentOutput, "results", lambda self, result, **more: live.append(result) or write(self, result, **more)
        )
        device = () if words[0] in ("compare", "stats") else ("--device", "cpu")
        result = invoke(*words, "-o", out, "--name", "x", *device, "--dpi", 30)
    assert result.exit_code == 0, result.stderr
    return live[0], out / "x.json"


@pytest.fixture(scope="module", params=VARIANTS)
def outcome(request, inputs, tmp_path_factory):
    """Name of a variant, its live result, and the path of its .json file; computed once for all tests of it."""
    return request.param, *run_command(VARIANTS[request.param], inputs, tmp_path_factory.mktemp("out"))


def assert_same(live, restored, at="result"):
    """Compare two values exactly; types count, NaN equals itself."""
    assert type(live) is type(restored), f"{at}: {type(live)} and {type(restored)}"
    if dataclasses.is_dataclass(live):
        for field in dataclasses.fields(live):
            assert_same(getattr(live, field.name), getattr(restored, field.name), f"{at}.{field.name}")
    elif isinstance(live, dict):
        assert list(live) == list(restored), at
        for key in live:
            assert_same(live[key], restored[key], f"{at}[{key!r}]")
    elif isinstance(live, tuple):
        assert len(live) == len(restored), at
        for i, (one, other) in enumerate(zip(live, restored, strict=True)):
            assert_same(one, other, f"{at}[{i}]")
    elif isinstance(live, np.ndarray | torch.Tensor):
        assert live.dtype == restored.dtype, at
        np.testing.assert_array_equal(live, restored, err_msg=at)
    else:
        assert live == restored or (live != live and restored != restored), f"{at}: {live!r} and {restored!r}"


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
def test_a_restored_result_is_the_live_one_and_draws_the_same_figures(outcome):
    variant, live, path = outcome
    assert REACHED.get(variant, bool)(live)
    for value in (live, live.config):
        assert len(repr(value)) < 500 and len(max(repr(value).splitlines(), key=len)) < 200
    restored = nd.load(path.with_suffix(".npz"))
    if variant.startswith("deblur"):  # whose files hold the middle of the images
        sharp, blurred = live.detail()
        live = dataclasses.replace(live, sharp=sharp, blurred=blurred)
    assert_same(live, restored)
    assert restored.source == json.loads(path.read_text())["input"]
    drawn, again = live.figures(), restored.figures()
    pictures = ()
    if variant.startswith("deconvolve"):
        pictures = [f"_{i}" for i in range(len(live))] if isinstance(live, nd.Series) else [""]
    assert sorted(path.parent.glob("x*.png")) == sorted(
        {path.parent / f"x{what and '_'}{what}.png" for what in again}
        | {path.parent / f"x_image{which}.png" for which in pictures}
    )
    assert list(drawn) == list(again)
    for what, figure in drawn.items():
        assert shown(figure) == shown(again[what])


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
def test_figures_fit_every_width_in_print(outcome):
    """At the least width with the title of a long name; faults are told together."""
    variant, live, _ = outcome
    cases = [("long name", with_long_name(live), 60), *(("", live, width) for width in (85, 180, 250))]
    for i, hard in enumerate(EXTREMES[variant](live) if variant in EXTREMES else ()):
        cases += [(f"hard result {i}", hard, width) for width in (85, 180)]
    wrong = []
    for name, result, width in cases:
        for what, figure in result.figures(width=width).items():
            case = f"{what} {name} at {width} mm"
            wrong += [f"{case}: {fault}" for fault in faults(figure)]
            if smallest_type(figure) < 5.5:
                wrong.append(f"{case}: type of {smallest_type(figure):.1f} points")
            assert figure.get_figwidth() == pytest.approx(width / 25.4), case
            assert figure.get_suptitle(), case
    assert wrong == []
    assert not any(figure.get_suptitle() for figure in live.figures(title=False).values())


def test_rows_left_out_of_timing_are_restored(tmp_path, monkeypatch):
    from ndtools.experiments.timing import run as timing

    too_large = timing._too_large
    monkeypatch.setattr(
        timing, "_too_large", lambda layer, *more: layer.number == 13 and "is large" or too_large(layer, *more)
    )
    live, path = run_command(VARIANTS["timing"], {}, tmp_path)
    assert [row.number for row in live.left_out] == [13]
    assert_same(live, nd.load(path))


def test_every_experiment_has_variants():
    assert {arguments[0] for arguments in VARIANTS.values()} == set(EXPERIMENTS)


@pytest.fixture(scope="module")
def saved(inputs, tmp_path_factory):
    """Files of a result of mlp, in a folder of their own."""
    folder = tmp_path_factory.mktemp("saved")
    assert invoke("mlp", inputs["set"], *SMALL_MLP, "--repeats", 1, "-o", folder).exit_code == 0
    return folder / "mlp.json"


def changed(saved, folder, change):
    """Copy a result with a change of what its .json file holds."""
    content = json.loads(saved.read_text())
    change(content)
    (folder / "mlp.json").write_text(json.dumps(content))
    (folder / "mlp.npz").write_bytes(saved.with_suffix(".npz").read_bytes())
    return folder / "mlp.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("widths"), "it has no 'widths'"),
        (lambda c: c["arms"][0].pop("tried"), "it has no 'tried'"),
        (lambda c: c["arms"][0].update(name="other"), "other_loss"),
        (lambda c: c["config"].update(batch_size=-1), "batch_size must be at least 1, got -1"),
        (lambda c: c["config"].update(unknown=1), "unexpected keyword argument 'unknown'"),
        (lambda c: c.update(arms=None), "do not hold a whole result"),
        (lambda c: c.update(experiment="train"), "no result of an experiment that this version.*'train'"),
        (lambda c: c.update(experiment="regress"), "it has no 'features'"),
    ],
)
def test_what_does_not_fit_is_named(saved, tmp_path, change, message):
    with pytest.raises(DataError, match=message) as raised:
        nd.load_result(changed(saved, tmp_path, change))
    assert "mlp.json" in str(raised.value)


def test_a_loss_that_was_not_finite_is_infinite_again(saved, tmp_path):
    """As where rates are compared, so that such a rate is never the best."""
    tried = [{"lr": 0.5, "train_loss": 2.0}, {"lr": 1e6, "train_loss": None}]
    restored = nd.load_result(changed(saved, tmp_path, lambda content: content["arms"][0].update(tried=tried)))
    assert restored.arms[0].tried == {0.5: 2.0, 1e6: np.inf}


def test_a_result_is_restored_by_its_own_experiment_alone(saved):
    from ndtools.results.read import load

    with pytest.raises(DataError, match="was written by ndtools mlp, not by ndtools timing"):
        nd.TimingResult.from_saved(load(saved))


def test_drawing_a_perceptron_again_loads_no_torch(saved, tmp_path):
    code = (
        "import sys\nfrom ndtools.cli.app import app\n"
        f"try: app(['figure', {str(saved)!r}, '--out', {str(tmp_path)!r}])\n"
        "except SystemExit as stop: print(stop.code)\n"
        "print('torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert output.split() == ["0", "False"]
    assert (tmp_path / "mlp.png").exists()
