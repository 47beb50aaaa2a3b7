"""Imports run one way, from the command line down to errors; no experiment imports another."""

import ast

import pytest

from tests.places import ROOT

PACKAGE = ROOT / "ndtools"
# A part may import itself, the parts named here, and what those may import.
BELOW = {
    "text": (),
    "errors": ("text",),
    "validation": ("errors",),
    "writing": ("errors",),
    "numerics": ("validation",),
    "computing": ("errors",),
    "data": ("computing", "numerics"),
    "moments": ("data", "writing"),
    "transforms": ("moments",),
    "layers": ("numerics",),
    "models": ("layers",),
    "surgery": ("models",),
    "checkpoints": ("surgery", "data", "writing"),
    "training": ("checkpoints", "validation"),
    "results": ("moments", "drawing"),
    "drawing": ("errors",),
    "console": ("results", "drawing", "moments", "data", "validation"),
    "published": (),
    "runs": ("training", "console"),
    "experiments": ("published", "validation", "moments", "transforms", "runs", "drawing", "console"),
    "reproduction": ("experiments",),
    "report": ("experiments",),
    "cli": ("reproduction", "report"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def allowed(part):
    """Return all parts that a part may import."""
    return {part}.union(*(allowed(other) for other in BELOW[part]))


def imports(path):
    """Names within ndtools that a module imports when it runs, so not those under TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"ndtools.{alias.name}" for alias in node.names] if node.module == "ndtools" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("ndtools.") and name != "ndtools.__version__":
                yield name.removeprefix("ndtools.")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_runs_back(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    wrong = {name for name in imports(path) if name.split(".")[0] not in allowed(part)}
    assert not wrong, f"{part} must not import {wrong}"


@pytest.mark.parametrize("folder", sorted(p.name for p in (PACKAGE / "experiments").iterdir() if p.is_dir()))
def test_no_experiment_imports_another(folder):
    for path in (PACKAGE / "experiments" / folder).glob("*.py"):
        for name in imports(path):
            other = name.startswith("experiments.") and name.split(".")[1] != folder
            assert not other, f"{path.name} imports {name}: what two experiments need stands below them"


def test_every_part_has_its_rule():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__", "__main__"} == set(BELOW)


def test_the_check_sees_a_wrong_import(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from ndtools.cli.app import main\nfrom ndtools import drawing\n")
    assert sorted(imports(module)) == ["cli.app", "drawing"]
