"""Options that several commands have are short in all of them, or in none."""

from collections import defaultdict

import typer.main

from ndtools.cli.app import app


def test_an_option_is_short_in_all_commands_or_in_none():
    shorts = defaultdict(dict)
    for name, command in typer.main.get_command(app).commands.items():
        for option in command.params:
            long = max(getattr(option, "opts", [""]), key=len)
            folder = (name, long) == ("segment", "--images")  # elsewhere a number
            if option.param_type_name == "option" and not folder:
                shorts[long][name] = frozenset(word for word in option.opts if not word.startswith("--"))
    differing = {long: commands for long, commands in shorts.items() if len(set(commands.values())) > 1}
    assert not differing
