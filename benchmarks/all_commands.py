"""Every command once, or more often where its figures differ, on inputs that are small but real."""

import sys

from ndtools.cli.app import app

__all__ = ["EXPERIMENTS", "run"]

# Command lines of experiments by the name of their results; {images} is a source of images.
EXPERIMENTS = {
    "kernels": "kernels {images} -n 60 --fit --bootstrap 50 --spectrum",
    "signals": "signals",
    "signals-volume": "signals beads",
    "kernels-gray": "kernels {images} -n 60 -k 9 --gray --fit --bootstrap 50",
    "kernels-auto": "kernels {images} -n 30 -k 5 --eps auto",
    "kernels-ridges": "kernels {images} -n 30 -k 9 --eps 1e-1,1e-2,1e-3,1e-4,1e-5,paper --spectrum",
    "kernels-series": "kernels {images} -n 30 -k 3,7,15 --eps 1e-2,1e-3,auto --spectrum",
    "covariance": "covariance {images} -n 60 --spectrum",
    "covariance-series": "covariance {images} -n 30 -k 3,5 --eps 1e-1,1e-2,1e-3,1e-4",
    "deconvolve": "deconvolve sample-photo",
    "deconvolve-series": "deconvolve sample-photo -k 3,5 --eps 1e-2,1e-4,auto",
    "sparsity": "sparsity {images} -n 30 --bootstrap 10",
    "sparsity-series": "sparsity {images} -n 20 -k 3,5 --eps 1e-1,1e-2,1e-3,1e-4 --bootstrap 0",
    "ns-stability": "ns-stability sample-photo",
    "ns-stability-half": "ns-stability sample-photo --gray --dtype bfloat16,float16,float32,float64",
    "ns-stability-sweep": "ns-stability sample-photo --sweep --iterations 30",
    "regress": "regress glyphs --iterations 100 --theory --batch-size 512",
    "regress-full": "regress glyphs --full-batch --theory --loss l2 --method eigh --eps 1e-3 --iterations 50",
    "mlp": "mlp glyphs --hidden 64,64 --epochs 4 --repeats 2",
    "deblur": "deblur sample-photo --blur motion:11,30",
    "deblur-gaussian": "deblur sample-photo",
    "check": "check",
    "compare-sets": "compare-sets sample dead-leaves -n 16 -k 9",
    "timing": "timing -j 1 --batch-size 1 --repeats 1",
}


def run(arguments: list[str]) -> None:
    """Run ndtools in this process, as its command line does; end all if it fails."""
    sys.argv = ["ndtools", *arguments]  # which results quote
    try:
        app(arguments)
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"ndtools {' '.join(arguments)} ended with exit code {stop.code}")
