"""README.md and docs/ agree with the program: commands, options, layouts of tables, links, and names."""

import re
import shlex

import pytest
import typer.main

import ndtools
from ndtools.cli.app import app
from tests.commands import invoke
from tests.places import ROOT
from tests.small_set import write_small_set

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]
SHOWN = re.compile(r"^ {4}\$ ndtools (?P<arguments>[^\n]*)\n(?P<output>(?: {4}(?!\$)[^\n]*\n)*)", re.MULTILINE)
QUOTED = re.compile(r"`ndtools ([^`]+)`")
GENERATED = ("gallery/", "../gallery/")  # written when the documentation is built
ELSEWHERE: set[str] = set()  # commands that have no page of their own


def name_of(path):
    return str(path.relative_to(ROOT))


def shown_in(path):
    """Return (arguments, lines of output) of each command line shown on a page."""
    return [
        (shlex.split(m["arguments"], comments=True), m["output"].splitlines()) for m in SHOWN.finditer(path.read_text())
    ]


def quoted_in(path):
    """Return the arguments of command lines within sentences and tables; none of what is not fully spelt."""
    lines = (shlex.split(match.group(1)) for match in QUOTED.finditer(path.read_text()))
    return [line for line in lines if line[0][0].islower() and line[0] not in ELSEWHERE]


def parse(arguments):
    """Parse a command line as the program does, and run nothing."""
    command, words = typer.main.get_command(app), list(arguments)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"no such command: {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command.make_context(arguments[0], words)


def cells(line):
    """Split a line of a table at gaps of two spaces or more."""
    return re.split(r"\s{2,}", line.strip())


def table_of(lines):
    """Return the header of the table in these lines, and the first cell of each of its rows."""
    rows = [cells(line) for line in lines]
    start = next(i for i, row in enumerate(rows) if len(row) > 2 and "·" not in lines[i])
    # Wide rows have a single space between name and number: the name ends with the precision.
    return rows[start], [re.sub(r"(float\d+) .*", r"\1", row[0]) for row in rows[start + 1 :] if len(row) > 1]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_command_lines_parse(path):
    for arguments, _ in shown_in(path):
        parse(arguments)
    for arguments in quoted_in(path):
        # A sentence may name a command without the arguments that it needs.
        parse([*arguments, "FILE"] if arguments in (["convert"], ["fold"], ["audit"]) else arguments)


def test_wrong_command_lines_do_not_parse():
    parse(["data", "fetch", "mnist"])
    for line in (
        ["kernels", "--no-such-option"],
        ["no-such-command"],
        ["data", "no-such-command"],
        ["data", "list", "--no"],
    ):
        with pytest.raises(Exception, match=r"[Nn]o such"):
            parse(line)


CHEAP = {
    "kernels": ("photos", "-k", "3"),
    "covariance": ("photos",),
    "deconvolve": ("photo",),
    "sparsity": ("photos", "--bootstrap", "2"),
    "ns-stability": ("photo", "--iterations", "20"),
    "regress": ("set", "--iterations", "3"),
    "mlp": ("set", "--hidden", "4", "--epochs", "3", "--lr", "0.1,0.5"),
    "signals": ("-k", "7"),
    "check": ("prop1", "--source", "photo"),
    "deblur": ("photo", "--blur", "gaussian:0.5", "-k", "5"),
}


@pytest.mark.parametrize("command", CHEAP)
def test_tables_have_the_layout_shown(command, photos, tmp_path, monkeypatch):
    """The header and the names of rows of a run on a few small images are those on the pages."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)  # tables alone are compared
    places = {"photos": photos, "photo": photos / "0.jpg", "set": write_small_set(tmp_path / "set")}
    words = [places.get(word, word) for word in CHEAP[command]]
    result = invoke(command, *words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    header, rows = table_of(result.stdout.splitlines())
    compared = 0
    for path in PAGES:
        for arguments, output in shown_in(path):
            if arguments[0] != command or "--fit" in arguments or several(arguments) or not output:
                continue
            shown_header, shown_rows = table_of(output)
            assert [re.sub(r"\d+", "N", cell) for cell in shown_header] == [
                re.sub(r"\d+", "N", cell) for cell in header
            ]
            optional = {"|x| > 10 σ"}  # a row that is left out if it is zero
            assert set(rows) - optional <= set(shown_rows), path
            compared += 1
    assert compared


WITH_SEVERAL = ("kernels", "sparsity", "covariance", "deconvolve")


def several(arguments):
    """Return whether a command line asks for several ridges or kernel sizes."""
    return arguments[0] in WITH_SEVERAL and any("," in word for word in arguments)


def test_tables_of_several_ridges_have_the_layout_shown(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    compared = 0
    for path in PAGES:
        for arguments, output in shown_in(path):
            if several(arguments) and output:
                source = photos / "0.jpg" if arguments[0] == "deconvolve" else photos
                result = invoke(arguments[0], source, "-k", 3, *arguments[2:], "--out", tmp_path)
                assert result.exit_code == 0, result.stderr
                assert table_of(result.stdout.splitlines())[0] == table_of(output)[0]
                compared += 1
    assert compared


def test_the_readme_is_short_and_names_every_command():
    text = README.read_text()
    assert text.count("\n") <= 200
    missing = [name for name in typer.main.get_command(app).commands if f"| [`ndtools {name}" not in text]
    assert not missing


def test_every_command_has_a_page_with_its_own_help():
    for name in typer.main.get_command(app).commands:
        page = ROOT / "docs" / "commands" / f"{name}.md"
        if name not in ELSEWHERE:
            assert f"```{{typer}} ndtools.cli.app.app:{name}\n" in page.read_text()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_between_files_exist(path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("https://", "http://", *GENERATED)):
            assert (path.parent / target).exists(), target


def test_the_reference_groups_every_public_name_once():
    listed = re.findall(
        r"^   (\w+)$", "\n".join(p.read_text() for p in (ROOT / "docs" / "api").glob("*.md")), re.MULTILINE
    )
    assert sorted(listed) == sorted(set(ndtools.__all__) - {"__version__"})
