import json
import os
import warnings
from dataclasses import asdict

import pytest

from ndtools.errors import DataError, NotConvergedError, NumericalWarning, OptionError, OutputError
from ndtools.reproduction import run as module
from ndtools.reproduction.address import Fingerprints
from ndtools.reproduction.places import Places
from ndtools.reproduction.request import Request
from ndtools.reproduction.state import failing_first
from ndtools.results.reproductions import VERDICTS, SavedReproduction
from tests.commands import invoke
from tests.reproduction.small_items import item, level, matrix, part, reproduction

pytestmark = pytest.mark.usefixtures("unpainted")

ITEM_KEYS = {
    "id", "aliases", "title", "where", "needs", "state", "reason", "level", "runnable", "seconds", "estimate",
    "estimate_full", "command", "parts", "grades",
}  # fmt: skip
PART_KEYS = {"name", "experiment", "address", "state", "seconds", "estimate", "result", "command", "reason"}
GRADE_KEYS = {"subject", "verdict", "measured", "spread", "n", "reason", "conditions", "third_party"}


@pytest.fixture
def source(tmp_path):
    return matrix(tmp_path / "a.npy")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def content(out):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads((out / "reproduction.json").read_text(), parse_constant=refuse)


def counting(calls):
    def compute(run, *args, **settings):
        calls.append(args[0])
        return run(*args, **settings)

    return compute


def test_what_is_written(out, source):
    both = item("a", level("all", part(source), part(source, 8, name="long"), full=True), aliases=("z",))
    work = reproduction(out, [both, item("b", level("none", part(source), needs=("imagenet",)), needs=("imagenet",))])
    work.run()
    written = content(out)
    assert {"format", "ndtools", "versions", "hardware", "started", "updated", "budget", "items"} <= set(written)
    assert (written["format"], written["budget"]) == (1, None)
    first, second = written["items"]
    assert set(first) == set(second) == ITEM_KEYS
    assert (first["id"], first["aliases"], first["state"], first["reason"]) == ("a", ["z"], "done", None)
    assert first["level"] == {
        "title": "all", "full": True, "concludes": "Something.", "not_concluded": "All else."
    }  # fmt: skip
    assert all(set(each) == PART_KEYS for each in first["parts"])
    for each in first["parts"]:
        assert each["state"] == "done"
        assert each["seconds"] > 0
        assert each["command"].startswith(f"ndtools ns-stability {source} ")
        result = json.loads((out / each["result"]).read_text())
        assert result["experiment"] == "ns-stability"
        assert all((out / each["result"]).with_name(name).exists() for name in result["files"])
    assert (first["estimate"], first["estimate_full"]) == (2.0, 2.0)
    (grade,) = first["grades"]
    assert set(grade) == GRADE_KEYS
    assert grade["verdict"] == "same direction"  # of two parts one is small
    assert (second["state"], second["level"], second["parts"]) == ("data missing", None, [])
    saved = SavedReproduction.read(out)  # as reports read it
    assert not saved.damaged
    for state, entry in zip(work.states.values(), saved.items, strict=True):
        assert (entry.id, entry.state, entry.reason) == (state.item.id, state.state, state.reason)
        assert (entry.runnable, entry.command) == (state.runnable, state.command)
        assert [asdict(grade) for grade in entry.grades] == [asdict(grade) for grade in state.grades]
        assert [(each.name, each.state, each.result) for each in entry.parts] == [
            (each.name, each.state, each.result) for each in state.parts
        ]
    assert "imagenet" in second["reason"]
    assert "--data-dir" in second["reason"]
    assert second["grades"][0]["verdict"] == "not run"
    assert second["grades"][0]["reason"] == second["reason"]


def test_a_second_call_does_nothing_and_a_changed_option_only_what_depends_on_it(out, source):
    calls = []
    parts = part(source, name="one"), part(source, 8, name="two")
    for _ in range(2):
        reproduction(out, [item("a", level("all", *parts))], compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5, 8]
    changed = part(source, name="one"), part(source, 9, name="two")
    reproduction(out, [item("a", level("all", *changed))], compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5, 8, 9]
    matrix(source, 7.0)
    reproduction(out, [item("a", level("all", *changed))], compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5, 8, 9, 5, 9]


def test_only_the_data_that_a_run_needs_are_read(out, source, tmp_path, monkeypatch):
    read = []
    original = Fingerprints.of

    def of(self, path):
        read.append(path)
        return original(self, path)

    monkeypatch.setattr(Fingerprints, "of", of)
    other = matrix(tmp_path / "b.npy", 7.0)
    items = [
        item("a", level("large", part(other, 9, work=100.0)), level("small", part(source))),
        item("b", level("all", part(other, 8))),
    ]
    for _ in range(2):
        reproduction(out, items)  # as for a list: nothing was run
    reproduction(out, items, budget=0.5).run()  # nothing fits
    assert read == []
    work = reproduction(out, items, ids=("a",), budget=5)
    work.run()
    assert set(read) == {source}
    assert [state.state for state in work.states.values()] == ["done", "can run reduced"]
    read.clear()
    assert reproduction(out, items).states["a"].state == "done"  # which only its content tells
    assert set(read) == {source}
    matrix(source, 8.0)
    assert reproduction(out, items).states["a"].state == "can run reduced"


def test_items_share_a_part(out, source):
    calls = []
    items = [item("a", level("all", part(source))), item("b", level("all", part(source, name="same")))]
    work = reproduction(out, items, compute=counting(calls))
    work.run()
    assert len(calls) == 1
    assert [state.state for state in work.states.values()] == ["done", "done"]


def test_interrupted_and_gone_on_with(out, source):
    calls = []

    def interrupted(run, config, **settings):
        if config.iterations == 8:
            raise KeyboardInterrupt
        return counting(calls)(run, config, **settings)

    items = [item("a", level("all", part(source), part(source, 8, name="two"), part(source, 9, name="three")))]
    with pytest.raises(KeyboardInterrupt):
        reproduction(out, items, compute=interrupted).run()
    written = content(out)["items"][0]
    assert written["state"] == "partly"
    assert [each["state"] for each in written["parts"]] == ["done", "interrupted", "waiting"]
    assert written["grades"][0]["verdict"] == "not run"
    assert "ndtools reproduce a" in written["grades"][0]["reason"]
    reproduction(out, items, compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5, 8, 9]
    assert content(out)["items"][0]["state"] == "done"


def test_a_part_that_fails_keeps_no_other_from_being_done(out, source):
    def failing(run, config, **settings):
        if config.iterations == 8:
            raise NotConvergedError("it diverged")
        return run(config, **settings)

    items = [item("a", level("all", part(source, 8))), item("b", level("all", part(source)))]
    work = reproduction(out, items, compute=failing)
    work.run()
    assert [state.state for state in work.states.values()] == ["failed", "done"]
    written = content(out)["items"][0]
    assert (written["parts"][0]["state"], written["parts"][0]["reason"]) == ("failed", "it diverged")
    assert "it diverged" in written["grades"][0]["reason"]
    work = reproduction(out, items)
    work.run()
    assert [state.state for state in work.states.values()] == ["done", "done"]


def test_warnings_and_failures_speak_of_the_item_and_not_of_arguments(out, source):
    def warning(run, config, **settings):
        warnings.warn(f"take a larger `eps` ({config.iterations})", NumericalWarning, stacklevel=1)
        if config.iterations == 8:
            raise NotConvergedError("take a larger `eps`")
        return run(config, **settings)

    def spell(experiment, message):
        return message.replace("`eps`", f"--eps of {experiment}")

    items = [item("a", level("all", part(source), part(source, 8, name="long")))]
    before = warnings.showwarning
    with pytest.warns(NumericalWarning) as caught:
        work = reproduction(out, items, compute=warning, spell=spell)
        work.run()
    assert [str(each.message) for each in caught] == [
        "a, small: take a larger --eps of ns-stability (5)",
        "a, long: take a larger --eps of ns-stability (8)",
    ]
    assert work.states["a"].parts[1].reason == "take a larger --eps of ns-stability"
    assert warnings.showwarning is before


def test_the_budget_decides_the_level(out, source):
    levels = (
        level("large", part(source, 9, 100.0), full=True),
        level("middle", part(source, 8, 10.0)),
        level("small", part(source, 5, 1.0)),
    )
    for budget, title, state in ((0.5, "small", "over the budget"), (5, "small", "done"), (50, "middle", "done")):
        work = reproduction(out, [item("a", *levels)], budget=budget)
        work.run()
        assert (work.states["a"].level.title, work.states["a"].state) == (title, state)
        assert [grade.verdict == "not run" for grade in work.states["a"].grades] == [state != "done"]
    assert reproduction(out, [item("a", *levels)]).states["a"].level.title == "middle"
    refused = reproduction(out.with_name("other"), [item("a", *levels)], budget=0.5)
    refused.run()
    assert "--budget 1m" in refused.states["a"].reason


def test_a_second_call_with_the_same_budget_plans_nothing_larger(out, source):
    levels = (level("large", part(source, 9, 8.0)), level("small", part(source, 5, 7.0)))
    items = [item("a", *levels), item("b", *levels)]
    calls = []
    for _ in range(3):
        reproduction(out, items, budget=14.5, compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5]
    reproduction(out, items, budget=15.5, compute=counting(calls)).run()
    assert [config.iterations for config in calls] == [5, 9]


def test_an_overrun_makes_the_rest_smaller(out, source, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def slow(run, config, **settings):
        clock[0] += 60.0  # of 10 that were expected
        return run(config, **settings)

    items = [
        item("a", level("only", part(source, 4, 10.0))),
        item("b", level("large", part(source, 9, 50.0)), level("small", part(source, 5, 11.0))),
        item("c", level("only", part(source, 6, 30.0))),
    ]
    work = reproduction(out, items, budget=110.0, compute=slow)
    work.run()
    assert [state.state for state in work.states.values()] == ["done", "done", "over the budget"]
    assert work.states["b"].level.title == "small"


def test_a_damaged_result_is_made_again(out, source):
    calls = []
    items = [item("a", level("all", part(source)))]
    reproduction(out, items, compute=counting(calls)).run()
    next(out.glob("results/*/*.npz")).write_bytes(b"damaged")
    work = reproduction(out, items, compute=counting(calls))
    assert work.states["a"].state == "can run reduced"
    work.run()
    assert len(calls) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2, "items": []}',
        '{"format": 1}',
        '{"format": 1, "items": [3]}',
        '{"format": 1, "items": [{"id": 3}]}',
        '{"format": 1, "items": [{"id": "a", "level": "all"}]}',
        '{"format": 1, "items": [{"id": "a", "level": {"title": 3}}]}',
        '{"format": 1, "items": [{"id": "a", "runnable": 3}]}',
        '{"format": 1, "items": [], "budget": "15m"}',
        '{"format": 1, "items": [], "started": 3}',
    ],
)
def test_a_damaged_state(out, source, text):
    out.mkdir()
    (out / "reproduction.json").write_text(text)
    with pytest.raises(DataError, match="reproduction.json"):
        reproduction(out, [item("a", level("all", part(source)))])


def test_the_start_is_that_of_the_first_call(out, source, monkeypatch):
    times = (f"2026-01-01T00:00:{second:02d}+00:00" for second in range(60))
    monkeypatch.setattr(module, "_now", lambda: next(times))
    items = [item("a", level("all", part(source), part(source, 8, name="two")))]
    starts = []
    for _ in range(2):
        reproduction(out, items).run()
        starts.append((content(out)["started"], content(out)["updated"]))
    assert starts[0][0] == starts[1][0]
    assert starts[0][0] < starts[0][1] < starts[1][1]


def test_a_result_that_was_made_by_hand_in_its_place_is_not_taken_up(out, source):
    calls = []
    items = [item("a", level("all", part(source)))]
    reproduction(out, items, compute=counting(calls)).run()
    (place,) = out.glob("results/*/")
    by_hand = [
        "ns-stability",
        matrix(source.replace("a.npy", "b.npy"), 7.0),
        "--dtype",
        "float64",
        "--algorithms",
        "coupled",
    ]
    assert invoke(*by_hand, "--iterations", 5, "--out", place).exit_code == 0  # of other data
    work = reproduction(out, items, compute=counting(calls))
    assert work.states["a"].state == "can run reduced"
    assert invoke(*by_hand[:1], source, *by_hand[2:], "--iterations", 6, "--out", place).exit_code == 0  # of others
    work = reproduction(out, items, compute=counting(calls))
    assert work.states["a"].state == "can run reduced"
    work.run()
    assert len(calls) == 2
    assert reproduction(out, items).states["a"].state == "done"


def test_data_that_have_been_moved_count_as_the_same(out, source, tmp_path):
    reproduction(out, [item("a", level("all", part(source)))]).run()
    moved = str(tmp_path / "moved.npy")
    os.rename(source, moved)
    assert reproduction(out, [item("a", level("all", part(moved)))]).states["a"].state == "done"


def test_data_that_cannot_be_told_apart_are_a_failure_that_is_said(out, source):
    work = reproduction(
        out, [item("a", level("all", part(source), part(source.replace("a.npy", "*.npy"), name="two")))]
    )
    work.run()
    first, second = work.states["a"].parts
    assert (first.state, second.state) == ("done", "failed")
    assert "*.npy is no file or folder" in second.reason
    assert work.states["a"].state == "failed"


def test_a_lack_of_memory_keeps_no_other_part_from_being_done(out, source):
    def failing(run, config, **settings):
        if config.iterations == 8:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if config.iterations == 9:
            raise RuntimeError("a bug")
        return run(config, **settings)

    items = [item("a", level("all", part(source, 8))), item("b", level("all", part(source)))]
    work = reproduction(out, items, compute=failing)
    work.run()
    assert [state.state for state in work.states.values()] == ["failed", "done"]
    assert "out of memory" in work.states["a"].reason
    with pytest.raises(RuntimeError, match="a bug"):
        reproduction(out, [item("a", level("all", part(source, 9)))], compute=failing).run()


def test_two_requests_look_for_data_anew():
    assert Request().places is not Request().places


def test_a_folder_that_cannot_be_written(out, source):
    out.write_text("a file")
    with pytest.raises(OutputError, match="another"):
        reproduction(out, [item("a", level("all", part(source)))]).run()


def test_two_at_a_time(out, source):
    items = [item("a", level("all", part(source)))]

    def second(run, config, **settings):
        with pytest.raises(OutputError, match="another process"):
            reproduction(out, items).run()
        return run(config, **settings)

    reproduction(out, items, compute=second).run()


def test_only_what_was_asked_for_is_run_and_all_is_listed(out, source):
    items = [item("a", level("all", part(source))), item("b", level("all", part(source, 8)), aliases=("beta",))]
    work = reproduction(out, items, ids=("BETA",))
    assert work.asked == ("b",)
    work.run()
    assert [entry["state"] for entry in content(out)["items"]] == ["can run reduced", "done"]
    assert "ndtools reproduce a" in content(out)["items"][0]["grades"][0]["reason"]


def test_an_unknown_id_names_the_nearest(out, source):
    items = [item("table1", level("all", part(source))), item("fig7", level("all", part(source)))]
    with pytest.raises(OptionError, match="did you mean table1"):
        reproduction(out, items, ids=("tabel1",))
    with pytest.raises(OptionError, match="they are table1, fig7"):
        reproduction(out, items, ids=("zzz",))


def test_what_fails_comes_first(out, source):
    items = [item("a", level("all", part(source, 20), full=True)), item("b", level("all", part(source, 1), full=True))]
    work = reproduction(out, items)
    work.run()
    order = [grade.verdict for _, grade in failing_first(list(work.states.values()))]
    assert order == ["disagrees", "agrees"] == sorted(order, key=list(VERDICTS).index)


def test_places(tmp_path, photos, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = Places()
    names = ("imagenet_sample", "lenna", "mnist", "imagenet")
    assert [place.name for place in places.missing(names)] == list(names)
    assert [place.option for place in places.missing(names)] == ["photographs", "image", "data_dir", "data_dir"]
    assert "ndtools data fetch mnist" in places["mnist"].remedy
    given = Places(photographs=str(photos), image=str(photos / "0.jpg"))
    assert not given.missing(names[:2])
    assert not given["imagenet_sample"].original
    assert not given["lenna"].original
    assert given.count == 4
    built_in = Places(image="sample-photo")["lenna"]
    assert (built_in.path, built_in.original) == ("sample-photo", False)
    photos.rename(tmp_path / "imagenet_sample")
    (tmp_path / "imagenet_sample" / "0.jpg").rename(tmp_path / "lenna.jpg")
    found = Places(data_dir=str(tmp_path))
    assert found["imagenet_sample"].original
    assert found["lenna"].original
    with pytest.raises(DataError, match="no such file"):
        Places(image=str(tmp_path / "absent.png"))["lenna"]
    with pytest.raises(OptionError, match="a folder or an archive"):
        Places(photographs=str(tmp_path / "*.jpg"))["imagenet_sample"]
    with pytest.raises(DataError, match="no such file or folder"):
        Places(photographs=str(tmp_path / "absent"))["imagenet_sample"]
