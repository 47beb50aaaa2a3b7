"""Imports run one way: errors <- numerics <- layers <- experiments <- cli, data <- experiments and cli.

Modules for files, memory and threads come next to errors, since all the others may need them.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ndtools"

ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "memory": {"errors"},
    "threads": {"errors"},
    "numerics": {"errors"},
    "layers": {"errors", "files", "numerics"},
    "models": {"errors", "numerics", "layers"},
    "data": {"errors", "files", "memory", "threads"},
    "experiments": {"errors", "memory", "threads", "numerics", "layers", "models", "data"},
    "plotting": {"errors"},
    "report": {"errors"},
    "cli": {"errors", "threads", "data", "experiments", "plotting", "report"},
}


def imports(path):
    """Names of ndtools' parts that a module imports when it runs, so not those under TYPE_CHECKING."""
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
                yield name.split(".")[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_runs_back(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    wrong = set(imports(path)) - ALLOWED[part] - {part}
    assert not wrong, f"{part} must not import {wrong}"


def test_the_check_sees_a_wrong_import(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from ndtools.cli import app\nfrom ndtools import plotting\n")
    assert sorted(imports(module)) == ["cli", "plotting"]
