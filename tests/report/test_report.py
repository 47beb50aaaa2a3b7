"""The page of a reproduction and of ordinary results: complete, accessible, safe, and the same for the same input."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ndtools.errors import DataError, OutputError, SkippedResultWarning
from ndtools.report.questions import data_origins
from ndtools.report.run import write_report
from ndtools.results.read import SavedResult
from ndtools.results.reproductions import VERDICTS
from tests.commands import invoke
from tests.report.folders import grade, item, part, state, write_reproduction
from tests.report.structure import Structure
from tests.run_folders import write_run

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}\u202e\u2028\x1b[31m"


def read(path):
    return Structure(path.read_text(encoding="utf-8"))


def test_counts_and_size(report):
    assert (report.items, report.results, report.runs) == (4, 2, 2)
    assert report.verdicts == {
        "disagrees": 1, "same direction": 1, "agrees": 1, "not comparable": 1, "not run": 5
    }  # fmt: skip
    assert report.size == report.path.stat().st_size < 4_000_000
    assert report.remarks == ()
    assert report.counts.startswith("4 items, 2 results, 2 training runs (disagrees 1, same direction 1,")


def test_what_fails_stands_first(page):
    names = [text for _, text in page.headings]
    assert names[:7] == [
        "Reproduction of network deconvolution",
        "What was found",
        "What fails first",
        "Same direction",
        "Agrees",
        "Not comparable",
        "Not run",
    ]
    failing = page.text[page.text.index("What fails first") : page.text.index("Same direction Values")]
    assert "51.5 is 37.4 points above 14.12" in failing and "14.12 %" in failing and "51.5 ± 0.42 %" in failing
    assert "“bn, seed 1” failed: The disk is full." in failing
    assert len(VERDICTS) == 5


def test_rows_of_single_values_have_their_ids(page):
    """Many numbers have the same words, such as times of several layers, and an ID finds them in `published`."""
    failing = page.text[page.text.index("What fails first") : page.text.index("Same direction Values")]
    assert "table1/vgg16/cifar10/bn/1" in failing


def test_sections_of_several_reproductions_name_their_folders(reproduction, tmp_path, undrawn):
    other = tmp_path / "other"
    shutil.copytree(reproduction, other)
    page = read(write_report([reproduction, other], tmp_path / "report.html").path)
    second = [text for level, text in page.headings if level == 2]
    words = ("What was found in ", "Figures, tables and claims of ", "Questions that a reproduction must answer on ")
    for folder in (reproduction, other):
        for word in words:
            assert any(text.startswith(word) and text.endswith(folder.name) for text in second), (word, second)


def test_no_line_ends_within_an_option(results, tmp_path, undrawn):
    """Browsers break lines behind hyphens: a reason would read "--" and, in the next line, "data-dir"."""
    reason = "Not here: ndtools reproduce fig2 --data-dir FOLDER --budget none, <b>then</b> again"
    items = [item("fig2", "kernels", state="data missing", reason=reason)]
    write_reproduction(tmp_path / "out", results, items=items)
    html = write_report(tmp_path / "out", tmp_path / "report.html").path.read_text(encoding="utf-8")
    whole = '<span class="whole">{}</span>'.format
    shown = reason.replace("<", "&lt;").replace(">", "&gt;")
    for option in ("--data-dir", "--budget"):
        shown = shown.replace(option, whole(option))
    assert shown in html and ".whole { white-space: nowrap; }" in html


def test_many_numbers_without_a_value_are_one_row_with_the_reason(page):
    rest = page.text[page.text.index("Not run Values") : page.text.index("Figures, tables and claims")]
    assert "table1 4 numbers or claims" in rest and rest.count("ndtools data fetch cifar10") == 2


def test_an_item_has_published_third_party_and_measured_values(page):
    section = page.text[page.text.index("table1: Accuracies of ten networks") :]
    for words in (
        "paper: table 1, VGG-16",
        "15.83 %",
        "report of Southampton (2021): table 2, VGG-16",
        "5,000 of 50,000 images, 1 epoch",
        "By how much it is ahead with all images cannot be concluded.",
        "ndtools reproduce table1",
        "smaller than the published one",
    ):
        assert words in section, words


def test_a_result_of_two_items_is_drawn_once_and_linked(page):
    links = [each["href"] for each in page.all("a")]
    assert page.text.count("Shown with an item above: kernels: ") == 1
    assert sum(text.startswith("kernels: ") for _, text in page.headings) == 1
    assert "#result-1" in links


def test_the_questions_are_answered_from_the_state(page):
    answers = page.text[page.text.index("Questions that a reproduction must answer") :]
    for words in (
        "Apache License 2.0",
        "Ye et al., Network Deconvolution, ICLR 2020",
        "cifar10: small photographs; Krizhevsky 2009",
        "What was easy? These items ran with the published recipe, and all of their values agree: fig2",
        "table2: needs a GPU (ImageNet is not here; give its folder with --data-dir.)",
        "the versions of the paper differ: 71.1 in the first, 71.24 in the second",
        "table1: 5,000 images, 1 epoch, in place of the published recipe.",
        "The last call had a budget of 15 min.",
    ):
        assert words in answers, words


@pytest.mark.parametrize(
    ("source", "config", "answer"),
    [
        ("random images", {"rows": [1]}, "random images: built into ndtools, random numbers."),
        ("built in", {"dataset": "glyphs"}, "glyphs: built into ndtools, digits made in code"),
        ("/data/mnist", {"dataset": "mnist"}, "mnist: "),
        ("photos", {"source": "photos"}, "photos: images from the user's files; ndtools does not know their licence."),
    ],
)
def test_the_origin_of_data_that_are_no_files_of_the_user(source, config, answer):
    saved = SavedResult("a.json", "mlp", {"input": source, "config": config}, {}, {})
    (text,) = data_origins([SimpleNamespace(results=[SimpleNamespace(saved=saved)], runs=[])])
    assert text.startswith(answer)
    assert ("user's files" in text) == (source == "photos")


def test_names_are_unique_and_all_references_lead_somewhere(report, page):
    assert len(page.ids) == len(set(page.ids)) > 100
    text = report.path.read_text(encoding="utf-8")
    references = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', text)
    assert references and set(references) <= set(page.ids)


def test_headings_go_down_by_one_level(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(text.strip() for _, text in page.headings)


def test_landmarks_language_and_skip_link(page):
    for tag in ("header", "nav", "main", "footer"):
        assert len(page.all(tag)) == 1, tag
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("a")[0] == {"class": "skip", "href": "#main"} and page.all("main")[0]["id"] == "main"
    assert all("aria-labelledby" in section for section in page.all("section"))


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(report, page):
    """No element leaves the order of the document, what scrolls or opens can be focused, and focus is seen."""
    text = report.path.read_text(encoding="utf-8")
    stops = [attributes for _, attributes in page.elements if "tabindex" in attributes]
    assert {each["tabindex"] for each in stops} == {"0", "-1"}
    assert [each["id"] for each in stops if each["tabindex"] == "-1"] == ["main"]  # where the skip link leads
    scrolling = [each for each in stops if each["tabindex"] == "0"]
    assert scrolling and all(each["role"] == "group" and len(each["aria-label"]) > 10 for each in scrolling)
    assert len(re.findall(r"<details>", text)) == len(re.findall(r"<details>\s*<summary>[^<]+</summary>", text)) > 5
    assert not re.search(r"outline(?:-style)?:\s*(?:none|0)", text)
    for focused in ("a:focus-visible", "summary:focus-visible", "[tabindex]:focus-visible"):
        assert focused in text
    assert not any("aria-hidden" in attributes for name, attributes in page.elements if name in ("a", "summary"))


def test_rows_have_a_cell_for_each_heading(report):
    """A screen reader names the column of a cell by counting."""
    text = report.path.read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert tables
    for table in tables:
        head, body = re.search(r"<thead.*?</thead>", table, re.DOTALL)[0], table.split("</thead>")[1]
        columns = len(re.findall(r"<th\b", head))
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            assert len(re.findall(r"<t[hd]\b", row)) == columns, row
            assert len(re.findall(r"<th\b", row)) == 1


def test_every_picture_has_words(page):
    pictures = page.all("img")
    assert pictures and all(len(picture["alt"]) > 30 and picture["src"].startswith("data:") for picture in pictures)
    drawn = page.all("svg")
    assert len(drawn) == len(page.titles) == 3 and all(len(title) > 30 for title in page.titles)
    assert all(svg["role"] == "img" and svg["aria-labelledby"] in page.ids for svg in drawn)
    assert "0.jpg · 1 image · 27 features" in page.titles[0]
    assert len(page.all("figcaption")) == len(pictures) + len(drawn)


def test_tables_have_captions_and_scopes(page):
    assert len(page.all("table")) == len(page.all("caption")) > 5
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))


def test_verdicts_are_words_and_not_colours_alone(page):
    marked = [each for each in page.all("span") if (each.get("class") or "").startswith("verdict")]
    assert len(marked) == 5 + 9
    for verdict in VERDICTS:
        assert f" {verdict} " in page.text


def test_the_page_needs_no_network_and_no_script(report, page):
    text = report.path.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|url\()\s*=?["']?\s*(?:https?:)?//""", text)
    assert [attributes["type"] for attributes, _ in page.scripts] == ["application/json"]
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_all_numbers_stand_in_the_data(page, reproduction):
    data = json.loads(page.scripts[0][1])
    assert data["reproductions"] == [json.loads((reproduction / "reproduction.json").read_text())]
    kernels, stability = data["results"]
    saved = json.loads((reproduction / "results/kernels-3fa9/kernels.json").read_text())
    assert {name: kernels[name] for name in saved} == saved
    assert stability["experiment"] == "ns-stability"
    assert [run["epochs"]["epoch"] for run in data["runs"]] == [[1.0], [1.0]]


def test_equal_input_gives_equal_bytes(report, reproduction, tmp_path):
    again = write_report(reproduction, tmp_path / "again.html")
    assert again.path.read_bytes() == report.path.read_bytes()
    assert "2026-01-02 11:00:00" in again.path.read_text()


def evil_state():
    """Return a state in which every text is an attack."""
    conditions = {"reason": EVIL, "conditions": EVIL, "measured": 1.0, "third_party": [EVIL]}
    evil = item(
        EVIL,
        EVIL,
        aliases=[EVIL],
        where=EVIL,
        state=EVIL,
        reason=EVIL,
        command=EVIL,
        level={"title": EVIL, "full": False, "concludes": EVIL, "not_concluded": EVIL},
        parts=[part(EVIL, "kernels", state="failed", reason=EVIL, command=EVIL)],
        grades=[grade(EVIL, verdict, **conditions) for verdict in VERDICTS],
    )
    return state() | {
        "ndtools": EVIL,
        "updated": EVIL,
        "versions": {EVIL: EVIL},
        "hardware": {EVIL: [EVIL]},
        "items": [evil],
    }


def test_texts_of_files_cannot_become_markup(results, tmp_path):
    folder = write_reproduction(tmp_path / "<b onclick=x>&amp;'\"", results, **evil_state())
    extra = folder.parent / "<i>extra"
    shutil.copytree(results / "kernels-3fa9", extra)
    path = extra / "kernels.json"
    changed = json.loads(path.read_text())
    changed |= {"command": EVIL, "input": EVIL, "device": EVIL, "versions": {EVIL: EVIL}, EVIL: EVIL}
    path.write_text(json.dumps(changed))
    write_run(extra / "run", name=EVIL, dataset=EVIL, norm=EVIL, location=EVIL, state="diverged")
    output = tmp_path / "report.html"
    report = write_report([folder, extra], output, title=EVIL)
    assert (report.items, report.results, report.runs) == (1, 1, 1) and report.remarks == ()
    page = read(output)
    assert len(page.scripts) == 1 and not any(each.get("src") == "x" for each in page.all("img"))
    assert not page.all("b") and not page.all("i")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    data = json.loads(page.scripts[0][1])
    assert data["title"] == EVIL and data["reproductions"][0]["items"][0]["title"] == EVIL
    assert "{{ 7*7 }}" in page.text and "\x1b" not in output.read_text() and "\\x1b[31m" in page.text


def spoil(path, keep=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


@pytest.mark.parametrize("name", ["kernels.json", "kernels.npz"])
def test_a_damaged_result_is_named_and_the_others_are_shown(name, results, tmp_path, undrawn):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    spoil(folder / "kernels-3fa9" / name)
    with pytest.warns(SkippedResultWarning, match=name):
        report = write_report(folder, tmp_path / "report.html")
    page = read(report.path)
    assert report.results == 1 and len(report.remarks) == 1
    assert [text for _, text in page.headings][1] == "Left out, or to be read with care"
    assert name in page.text[: page.text.index("Results")] or name in page.text


def test_numbers_that_no_check_foresees_are_a_remark_and_no_crash(results, tmp_path):
    shutil.copytree(results / "ns-stability-77c1", tmp_path / "one")
    path = tmp_path / "one" / "ns-stability.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{name: array[..., :0] for name, array in arrays.items()})
    with pytest.warns(SkippedResultWarning, match="ns-stability"):
        report = write_report(tmp_path / "one", tmp_path / "report.html")
    assert report.remarks


def test_a_damaged_item_and_a_damaged_run_are_left_out(results, tmp_path, undrawn):
    changed = state()
    changed["items"][0]["grades"][0]["verdict"] = "splendid"
    changed["items"][1]["parts"] = "none"
    folder = write_reproduction(tmp_path / "reproduction", results, **changed)
    spoil(folder / "runs/vgg16-bn/run.json")
    with pytest.warns(SkippedResultWarning) as warned:
        report = write_report(folder, tmp_path / "report.html")
    assert len(warned) == 3 == len(report.remarks)
    assert "the item fig2 is damaged" in report.remarks[0] and "got 'splendid'" in report.remarks[0]
    assert "the item fig6 is damaged" in report.remarks[1] and "'parts' must be a list" in report.remarks[1]
    assert (report.items, report.runs) == (2, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [("{", "is not JSON"), ("[]", "holds no JSON object"), ('{"format": 2}', "format 2"), ('{"format": 1}', "items")],
)
def test_beside_a_state_that_cannot_be_read_the_results_are_shown(content, why, results, tmp_path, undrawn):
    folder = write_reproduction(tmp_path / "reproduction", results)
    (folder / "reproduction.json").write_text(content)
    with pytest.warns(SkippedResultWarning, match=why):
        report = write_report(folder, tmp_path / "report.html")
    assert (report.items, report.results, report.runs) == (0, 2, 2)


def test_a_result_without_arrays_has_the_figure_that_the_command_drew(results, tmp_path):
    folder = tmp_path / "gallery"
    shutil.copytree(results / "kernels-3fa9", folder)
    (folder / "kernels.npz").unlink()
    page = read(write_report(folder, tmp_path / "report.html").path)
    assert len(page.all("img")) == 1 and "As the command drew it" in page.text
    assert "3×3 deconvolution kernels of" in page.text  # its caption
    spoil(folder / "kernels.png")
    with pytest.warns(SkippedResultWarning, match=r"kernels\.png"):
        report = write_report(folder, tmp_path / "report.html")
    assert report.results == 1 and not read(report.path).all("img")


def test_runs_of_different_data_are_groups_of_their_own(tmp_path):
    for name, settings in (("a", {}), ("b", {"norm": "deconv"}), ("c", {"dataset": "cifar100"})):
        write_run(tmp_path / "runs" / name, **settings)
    page = read(write_report(tmp_path / "runs", tmp_path / "report.html").path)
    assert [text for level, text in page.headings if level == 3] == ["cifar10", "cifar100"]
    assert len(page.all("svg")) == 2 and "deconv 1 4 " in page.text


def test_nothing_found_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"neither a folder reproduction/ nor figures/ here; give a folder"):
        write_report()
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "notes.json").write_text("{}")
    for arguments, why in (([], "holds nothing that ndtools wrote"), (["absent"], "no such folder: 'absent'")):
        done = invoke("report", *arguments)
        assert done.exit_code == 3 and why in done.stderr and "ndtools kernels sample" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_the_folder_of_a_reproduction_is_the_default(reproduction, tmp_path, monkeypatch, undrawn):
    shutil.copytree(reproduction, tmp_path / "reproduction")
    (tmp_path / "figures").mkdir()
    monkeypatch.chdir(tmp_path)
    done = invoke("report", "--title", "Mine", "--json")
    assert done.exit_code == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert numbers["items"] == 4 and numbers["verdicts"]["not run"] == 5 and numbers["left_out"] == []
    assert numbers["bytes"] == (tmp_path / "report.html").stat().st_size
    assert read(tmp_path / "report.html").headings[0] == (1, "Mine")


@pytest.mark.filterwarnings("default")  # it prints them
def test_the_command_prints_path_size_and_counts(results, tmp_path, undrawn):
    (tmp_path / "empty").mkdir()
    done = invoke("report", results, tmp_path / "empty", "--out", tmp_path / "page.html")  # or --output
    assert done.exit_code == 0, done.stderr
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/page\.html   0\.\d+ MB   2 results\n", done.stdout)
    assert "warning:" in done.stderr and "empty holds nothing" in done.stderr


def test_only_an_older_report_is_replaced(results, tmp_path, monkeypatch, undrawn):
    path = tmp_path / "report.html"
    path.write_text("<p>my own page</p>")
    done = invoke("report", results, "-o", path)
    assert done.exit_code == 1 and "is no report; choose another --output" in done.stderr
    assert path.read_text() == "<p>my own page</p>"
    path.unlink()
    for name, message in (("page.pdf", "--output must be the path of a page of HTML"), ("", "it is a folder; choose")):
        done = invoke("report", results, "-o", tmp_path / name)
        assert done.exit_code in (1, 2) and message in done.stderr
        assert not [*tmp_path.iterdir()]
    write_report(results, path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise RuntimeError("while the page is put together")

    monkeypatch.setattr("ndtools.report.page.shrink", fail)
    with pytest.raises(RuntimeError):
        write_report(results, path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["report.html"]
    monkeypatch.undo()
    write_report(results, path, title="new")
    assert read(path).headings[0] == (1, "new")


def test_a_folder_that_cannot_be_written_to_is_found_before_any_work(results, tmp_path, monkeypatch):
    monkeypatch.setattr("ndtools.report.run.make_page", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        write_report(results, tmp_path / "file" / "report.html")


def test_a_large_picture_is_shrunk(results, tmp_path):
    folder = tmp_path / "gallery"
    shutil.copytree(results / "kernels-3fa9", folder)
    (folder / "kernels.npz").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (900, 3000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "kernels.png")
    page = read(write_report(folder, tmp_path / "report.html").path)
    assert int(page.all("img")[0]["width"]) == round(150 / 25.4 * 200)
