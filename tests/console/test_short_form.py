"""Short forms of experiments, and the bars of long runs."""

import inspect
import sys
from types import SimpleNamespace

import pytest

import ndtools as nd
from ndtools.console import bars
from ndtools.console.short_form import short_form

RUNS = [name.removeprefix("run_") for name in nd.__all__ if name.startswith("run_") and not name.endswith("_series")]
EXPERIMENTS = [name for name in RUNS if name != "train"]  # which has no short form, since it writes files


def configuration(experiment):
    return getattr(nd, f"{experiment.title().replace('_', '')}Config")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_short_form_takes_the_settings_of_the_configuration(experiment):
    form, config = getattr(nd, experiment), configuration(experiment)
    assert form.__name__ == experiment
    assert inspect.signature(form).parameters == inspect.signature(config).parameters
    settings = inspect.cleandoc(config.__doc__).partition("Attributes\n----------\n")[2]
    assert settings and settings in form.__doc__
    assert "\nReturns\n-------\n" in form.__doc__


def test_unknown_settings_are_named_with_those_that_there_are():
    with pytest.raises(
        TypeError, match=r"kernels\(\) has no setting 'n'; its settings are source, kernel_size, images,"
    ):
        nd.kernels("sample", n=8)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_data_in_place_of_a_configuration_name_the_short_form(experiment):
    config = configuration(experiment).__name__
    with pytest.raises(TypeError, match=rf"must be a {config}, got 'photos/'; write nd.{experiment}\('photos/'\)"):
        getattr(nd, f"run_{experiment}")("photos/")
    other = nd.MlpConfig if experiment == "kernels" else nd.KernelsConfig
    with pytest.raises(TypeError, match=rf"got {other.__name__}\(\); write nd.{experiment}\(...\), or"):
        getattr(nd, f"run_{experiment}")(other())


def test_a_short_form_is_the_run_of_its_configuration(photos):
    short = nd.kernels(photos, kernel_size=3, gray=True)
    long = nd.run_kernels(nd.KernelsConfig(source=photos, kernel_size=3, gray=True))
    assert short.config == long.config
    assert (short.kernels == long.kernels).all()
    with pytest.raises(TypeError, match="kernel_sze"):
        nd.kernels(photos, kernel_sze=3)


def test_lists_of_settings_give_a_series(photos):
    short = nd.kernels(photos, kernel_size=[3, 1], eps=(1e-2, 1e-3), gray=True)
    config = nd.KernelsConfig(source=photos, kernel_size=3, eps=1e-2, gray=True)
    long = nd.run_kernels_series(config, kernel_sizes=(3, 1), ridges=(1e-2, 1e-3))
    assert isinstance(short, nd.Series) and short.config == long.config
    for one, other in zip(short, long, strict=True):
        assert (one.kernels == other.kernels).all()
    deconvolved = nd.deconvolve(photos / "1.jpg", kernel_size=(3,))
    assert [result.config.kernel_size for result in deconvolved] == [3]
    with pytest.raises(nd.OptionError, match="at least one value"):
        nd.sparsity(photos, eps=[])


def run(config, *, progress):
    progress(1, 2)
    progress(2, 2)
    return config


@pytest.fixture
def cells(monkeypatch):
    """What a cell of a notebook showed, one entry for each change."""
    changes = []

    def show(content, *, raw, **_):
        assert raw and list(content) == ["text/html", "text/plain"]
        changes.append((content["text/html"], content["text/plain"]))

    def display(content, *, raw, display_id):
        assert display_id
        show(content, raw=raw)
        return SimpleNamespace(update=show)

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return changes


def test_long_runs_show_a_bar_in_a_notebook(cells, monkeypatch):
    clock = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(bars.time, "monotonic", lambda: next(clock))
    form = short_form(nd.KernelsConfig, run, counting="<images>")
    assert form("photos", kernel_size=3) == nd.KernelsConfig(source="photos", kernel_size=3)
    assert cells == [
        ("", ""),
        ('<progress value="2" max="2"></progress> 2 of 2 &lt;images&gt;', "2 of 2 <images>"),
        ("", ""),
    ]


def test_a_bar_vanishes_after_an_error(cells):
    with pytest.raises(KeyboardInterrupt), bars.later_bar("images", delay=0.0) as update:
        update(1, 3)
        raise KeyboardInterrupt
    assert cells[-1] == ("", "") and len(cells) == 3


def test_short_runs_and_runs_without_a_screen_show_nothing(cells, monkeypatch, capsys):
    with bars.later_bar("images", delay=1e9) as update:
        update(1, 3)
    monkeypatch.delitem(sys.modules, "IPython")
    with bars.later_bar("images", delay=0.0) as update:
        update(1, 3)
    assert cells == []
    assert capsys.readouterr() == ("", "")


def test_long_runs_show_a_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars.later_bar("images", delay=0.0) as update:
        update(1, 3)
    out, err = capsys.readouterr()
    assert out == "" and "images" in err and "1/3" in err
