"""Descriptions in docstrings can be read alone: at least three words, and no fragment such as "Of the batches."."""

import ast
import inspect
import re

import pytest

from tests.places import ROOT

PACKAGE = ROOT / "ndtools"
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Other Parameters")
FRAGMENT = re.compile(r"(Of|What|Which|Where|How)\b")


def descriptions(docstring):
    """Pairs of name and description in the sections of a numpydoc docstring."""
    lines = inspect.cleandoc(docstring).splitlines()
    inside = False
    name, text = None, []
    for i, line in enumerate([*lines, "End", "---"]):
        underlined = i + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[i + 1]) is not None
        if underlined or line == "End":
            if name is not None:
                yield name, " ".join(text)
            inside, name, text = line in SECTIONS, None, []
        elif inside and re.fullmatch(r"-{3,}", line) is None and line.strip():
            if not line.startswith(" "):
                if name is not None:
                    yield name, " ".join(text)
                name, text = line, []
            else:
                text.append(line.strip())


def fragments(module):
    """Descriptions in a module that cannot be read alone."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docstring := ast.get_docstring(node)):
            for name, text in descriptions(docstring):
                if len(text.split()) < 3 or FRAGMENT.match(text):
                    yield f"{node.name}, {name.split(':')[0].strip()}: {text!r}"


@pytest.mark.parametrize("module", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_description_can_be_read_alone(module):
    found = list(fragments(module))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["Of the batches.", "Which.", "How many there are.", "What was asked for by the user.", "", "The seed."]
)
def test_a_fragment_is_noticed(tmp_path, text):
    module = tmp_path / "module.py"
    indent = "    "
    body = f'"""Do it.\n\n{indent}Parameters\n{indent}----------\n{indent}seed : int\n{indent * 2}{text}\n{indent}"""'
    module.write_text(f"def f(seed):\n{indent}{body}\n")
    assert len(list(fragments(module))) == 1
    module.write_text(module.read_text().replace(text or "\0", "Seed of the order in which batches are drawn."))
    assert len(list(fragments(module))) == (0 if text else 1)
