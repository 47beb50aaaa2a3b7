"""The library names its arguments; only the command line names options."""

import ast
import re

import pytest

from tests.places import ROOT

PACKAGE = ROOT / "ndtools"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SPEAK_OPTIONS = ("console", "cli")  # and the command.py of each experiment
OF_COMMANDS = ("runs/options.py", "runs/launch.py")  # what the commands of training runs share
# A whole command line to be typed into a shell is a remedy for users of the library, too.
COMMAND_LINE = re.compile(r"ndtools [a-z]|\{command\} ")
LIBRARY = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in SPEAK_OPTIONS
    and path.name != "command.py"
    and path.relative_to(PACKAGE).as_posix() not in OF_COMMANDS
]


def texts(tree):
    """Yield string constants, with {name} in place of what an f-string inserts."""
    within = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            within |= {id(part) for part in node.values}
            yield "".join(
                part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
            yield node.value


def options_in(source):
    """List the string constants of a module that name an option."""
    return [
        text
        for text in texts(ast.parse(source))
        if (option := OPTION.search(text)) and not COMMAND_LINE.search(text[: option.start()])
    ]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_names_no_option(path):
    assert not options_in(path.read_text()), "write the argument in backquotes; the console finds its option"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('f("use --gray")', True),
        ('f("take a smaller `kernel_size`")', False),
        ('f(f"{name} needs --covariance im2col")', True),
        ('def f():\n    """Files of ``--save-moments``."""', True),
        ('f(f"{command} --data-dir {folder}")', False),
        ('style = "--"', False),
    ],
)
def test_an_option_is_noticed(source, named):
    assert bool(options_in(source)) == named
