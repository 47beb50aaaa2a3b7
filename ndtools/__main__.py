"""Run the command line as ``python -m ndtools``."""

import sys

from ndtools.cli import main

if __name__ == "__main__":
    sys.exit(main())
