"""Run ndtools from a checkout without installing it: ``python cli.py kernels DIR``."""

import sys

from ndtools.cli import main

if __name__ == "__main__":
    sys.exit(main())
