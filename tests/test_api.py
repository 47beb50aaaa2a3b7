import ast
import subprocess
import sys

import pytest

import ndtools
from tests.places import ROOT

HEAVY = {"torch", "scipy", "matplotlib", "numpy", "PIL"}


@pytest.mark.parametrize("name", ndtools.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(ndtools, name)
    assert name == "__version__" or value.__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ndtools.nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "ndtools" / "__init__.pyi").read_text())
    names = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    names |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    assert {name for name in names if not name.startswith("_") or name == "__version__"} | {"__version__"} == set(
        ndtools.__all__
    )


@pytest.mark.parametrize("code", ["import ndtools", "import ndtools.cli.app", "import cli"])
def test_importing_loads_nothing_heavy(code):
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(argument):
    code = (
        "import sys\nfrom ndtools.cli.app import app\n"
        f"try: app(['{argument}'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not HEAVY & set(output.split())
