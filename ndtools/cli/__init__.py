"""The command line: ``ndtools.cli.app`` registers the commands."""
