"""Write the page "What reproduces" (docs/what-reproduces.md) from the folder of a reproduction.

ndtools reproduce --budget 15m --output reproduction
python docs/what_reproduces.py reproduction
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from ndtools.report.citing import cite, with_unit
from ndtools.results.reproductions import VERDICTS, Grade, SavedItem, SavedReproduction

PAGE = Path(__file__).parent / "what-reproduces.md"
ALONE = 4  # numbers of an item with one verdict that have a row each; more are one row, unless they disagree
WIDTH = 120


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--remark", default="", help="sentence that the page has below its introduction")
    options = parser.parse_args()
    page = page_of(SavedReproduction.read(options.folder), options.remark)
    PAGE.write_text(without_folders(page))


def without_folders(page: str) -> str:
    """Return the page without the folders and threads of this machine, which mean nothing to others."""
    page = re.sub(r" --(?:output|runs|photographs|image) '?/[^\s;']+'?| --jobs \d+", "", page)
    return re.sub(r"--data-dir '?/[^\s;']+'?", "--data-dir FOLDER", page)


def page_of(state: SavedReproduction, remark: str = "") -> str:
    """Return the page, with a remark below its introduction."""
    grades = [(item, grade) for item in state.items for grade in item.grades]
    counts = Counter(grade.verdict for _, grade in grades)
    machine = f"{state.hardware.get('processor')}, {state.hardware.get('cores')} cores"
    lines = [
        "# What reproduces",
        "",
        f"The {len(grades)} numbers and claims of the paper, of a report and of a third party that belong to an item of"
        " [`ndtools reproduce`](commands/reproduce.md), as it graded them, or the reason why it did not. What disagrees"
        f" stands first. Measured with ndtools {state.version} on {machine}; `python docs/what_reproduces.py FOLDER`"
        " writes this page from the folder of a reproduction, and [`ndtools report`](commands/report.md) makes one with"
        " all figures, commands and conditions.",
        "",
        *([remark, ""] if remark else []),
        *_table(("verdict", "number", "meaning"), [(name, counts[name], VERDICTS[name]) for name in VERDICTS]),
    ]
    for verdict in VERDICTS:
        chosen = [(item, grade) for item, grade in grades if grade.verdict == verdict]
        lines += ["", f"## {verdict.capitalize()}", ""]
        lines += _rows(verdict, chosen) if chosen else ["None."]
    return "\n".join(lines) + "\n"


def _rows(verdict: str, chosen: list[tuple[SavedItem, Grade]]) -> list[str]:
    if verdict == "not run":
        reasons: dict[tuple[str, str], int] = Counter((item.id, grade.reason) for item, grade in chosen)
        rows = [(name, number, reason) for (name, reason), number in reasons.items()]
        return _table(("item", "numbers and claims", "reason"), rows)
    many = Counter(item.id for item, grade in chosen if not cite(grade.subject).quoted)
    rows = []
    for item, grade in chosen:
        published = cite(grade.subject)
        if published.quoted:
            rows.append((item.id, published.title, f"“{published.value}”", grade.reason))
        elif verdict == "disagrees" or many[item.id] <= ALONE:
            measured = with_unit(grade.measured, grade.spread, published.unit)
            rows.append((item.id, published.title, f"{published.value}; measured {measured}", grade.reason))
    rows += [
        (name, f"{number} numbers", "", f"`ndtools reproduce {name}` lists them")
        for name, number in many.items()
        if verdict != "disagrees" and number > ALONE
    ]
    return _table(("item", "quantity or claim", "published", "reason"), rows)


def _table(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (names, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + "---|" * len(names), *lines[1:]]


if __name__ == "__main__":
    main()
