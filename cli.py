"""Run ndtools from a checkout without installing it: ``python cli.py kernels DIR``."""

from ndtools.cli.app import main

if __name__ == "__main__":
    main()
