"""Run the command line as ``python -m ndtools``."""

from ndtools.cli.app import main

if __name__ == "__main__":
    main()
