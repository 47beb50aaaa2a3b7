"""Put a page together: what was found becomes sections, and a template turns them into HTML."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ndtools import __version__
from ndtools.report.arms import table_of_arms, table_of_runs
from ndtools.report.content import Loader, ShownFile
from ndtools.report.gathering import Material
from ndtools.report.items import ShownItem, Verdicts, show_items, verdicts_of
from ndtools.report.numbers import named_values
from ndtools.report.pictures import shrink
from ndtools.report.questions import Answer, answers
from ndtools.results.reproductions import VERDICTS, SavedReproduction
from ndtools.results.runs import Run
from ndtools.results.strict_json import strict_json
from ndtools.text import duration, printable

__all__ = ["GENERATOR", "Page", "make_page"]

GENERATOR = "ndtools report"
"""Name by which a page says what made it."""

_MOST_BYTES, _MOST_OF_ONE = 2_200_000, 800_000  # of all figures, and of one picture; words and numbers take 1.7 MB
_MARKS = {"disagrees": "✗", "same direction": "↗", "agrees": "✓", "not comparable": "≠", "not run": "–"}
_OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*")
# What would end the block of data, or begin another element, is written as escapes of JSON.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Page:
    """Page that is ready to be written.

    Attributes
    ----------
    html : str
        Text of the page.
    verdicts : dict of str to int
        Number of grades by verdict, of all reproductions.
    items, results, runs : int
        Numbers of items, results and training runs that the page shows.
    remarks : tuple of str
        Sentences about what was left out, which the page has, too.
    """

    html: str
    verdicts: dict[str, int]
    items: int
    results: int
    runs: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _ShownReproduction:
    prefix: str
    state: SavedReproduction
    items: list[ShownItem]
    verdicts: list[Verdicts]
    answers: list[Answer]

    @property
    def measured(self) -> int:
        return sum(each.count for each in self.verdicts if each.verdict != "not run")

    @property
    def failed(self) -> list[ShownItem]:
        return [
            item
            for item in self.items
            if item.state.state == "failed" or any(part.state == "failed" for part in item.state.parts)
        ]


def make_page(
    material: Material, *, title: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Page:
    """Load what was found, draw its figures, and put the page together.

    Parameters
    ----------
    material : Material
        Reproductions, results and runs.
    title : str, optional
        Title of the page. By default it says what the page holds.
    progress : callable, optional
        Function that is given the number of files done and their total.

    Returns
    -------
    Page
        Page with all that could be read; what could not is in its remarks.
    """
    loader = Loader(step=_steps(material, progress), remarks=list(material.remarks))
    reproductions = []
    for number, state in enumerate(material.reproductions, 1):
        prefix = f"r{number}-"
        loader.remarks += [f"{text}." for text in state.damaged]
        items = show_items(state, loader, prefix)
        reproductions.append(_ShownReproduction(prefix, state, items, verdicts_of(items), answers(state, items)))
    of_items = len(loader.results)
    for path in material.results:
        loader.result(path)
    results = loader.results[of_items:]
    groups = loader.compared(material.runs) if material.runs else []
    shrink(loader.drawings, _MOST_BYTES, _MOST_OF_ONE)
    remarks = tuple(dict.fromkeys(map(printable, loader.remarks)))
    heading = title or ("Reproduction of network deconvolution" if reproductions else "Results of ndtools")
    html = (
        _environment()
        .get_template("page.html")
        .render(
            title=heading,
            generator=GENERATOR,
            version=__version__,
            reproductions=reproductions,
            results=results,
            groups=groups,
            remarks=remarks,
            data=_data(heading, loader, reproductions, remarks),
        )
    )
    return Page(
        html=html.lstrip(),  # the macros of the template leave empty lines
        verdicts={
            verdict: sum(each.count for shown in reproductions for each in shown.verdicts if each.verdict == verdict)
            for verdict in VERDICTS
        },
        items=sum(len(shown.items) for shown in reproductions),
        results=len(loader.results),
        runs=sum(len(group.runs) for group in loader.runs),
        remarks=remarks,
    )


def _steps(material: Material, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    parts = {
        part.result
        for state in material.reproductions
        for item in state.items
        for part in item.parts
        if part.result and part.experiment != "train"
    }
    total, done = len(parts) + len(material.results) + bool(material.runs), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, max(done, total))

    return step


def _environment() -> Environment:
    """Return the environment of the template: everything is escaped, and unknown names are errors."""
    environment = Environment(
        loader=PackageLoader("ndtools.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if not isinstance(value, str) or isinstance(value, Markup) else printable(value),
    )
    environment.filters |= {
        "duration": duration,
        "table_of_arms": table_of_arms,
        "table_of_runs": table_of_runs,
        "whole_options": _whole_options,
    }
    environment.globals |= {
        "marks": _MARKS,
        "named_values": named_values,
        "about_run": _about_run,
        "about_result": _about_result,
    }
    return environment


def _about_result(shown: ShownFile) -> dict[str, Mapping[str, Any]]:
    manifest = shown.saved.manifest
    return {
        "Configuration": manifest["config"],
        "Versions": manifest["versions"],
        "Run": {name: manifest[name] for name in ("device", "seed", "seconds", "input")},
    }


def _whole_options(text: str) -> Markup:
    """Return a text of a page in which no line ends within an option, behind one of its hyphens."""
    return Markup(_OPTION.sub(r'<span class="whole">\g<0></span>', str(escape(printable(text)))))  # escaped before


def _about_run(run: Run) -> dict[str, Mapping[str, Any]]:
    names = ("network", "parameters", "processes", "threads", "started")
    about = {
        "Configuration": run.config,
        "Data": run.about["data"],
        "Versions": run.about.get("versions"),
        "Hardware": run.about.get("hardware"),
        "Run": {name: run.about[name] for name in names if name in run.about},
    }
    return {name: values for name, values in about.items() if isinstance(values, dict)}


def _data(title: str, loader: Loader, reproductions: list[_ShownReproduction], remarks: tuple[str, ...]) -> Markup:
    """Return all numbers of the page as JSON that nothing in a value can end."""
    content = {
        "title": title,
        "ndtools": __version__,
        "reproductions": [shown.state.content for shown in reproductions],
        "results": [
            {"path": shown.path, "experiment": shown.saved.experiment, **shown.saved.manifest, **shown.saved.numbers}
            for shown in loader.results
        ],
        "runs": [
            {
                "path": run.path,
                "about": run.about,
                "epochs": run.epochs,
                "result": run.result,
            }
            for group in loader.runs
            for run in group.runs
        ],
        "remarks": remarks,
    }
    text = json.dumps(json.loads(strict_json(content)), separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))  # noqa: S704
