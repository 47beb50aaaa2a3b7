"""Draw the pictures of figures/gallery from the results of a reproduction.

python docs/draw_gallery.py figures/reproduction fig2 fig7

``make gallery`` runs the items first. A figure that shows a photograph itself is drawn of the built-in one alone,
because others are not ours to publish.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

GALLERY = Path(__file__).resolve().parents[1] / "figures" / "gallery"
PARTS = {
    "fig1": "deblur",
    "fig2": "kernels",
    "fig3": "covariance",
    "fig4": "deconvolve",
    "fig5": "regression",
    "fig7": "iterations",
    "fig10": "sparsity",
}
"""Part of each item whose figures are in the gallery."""
SHOW_IMAGES = ("deblur", "deconvolve")
"""Experiments whose figures show the photograph that they were given."""


def main() -> None:
    """Draw the pictures; end with an error that names what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the reproduction")
    parser.add_argument("ids", nargs="+", choices=PARTS, help="items whose figures are drawn")
    parser.add_argument("--gallery", type=Path, default=GALLERY)
    options = parser.parse_args()
    for result in results_of(options.folder, options.ids):
        draw(result, options.gallery)


def results_of(folder: Path, ids: list[str]) -> list[Path]:
    """Return the .json files of the results that the gallery shows of these items."""
    items = {item["id"]: item for item in json.loads((folder / "reproduction.json").read_text())["items"]}
    results = []
    for name in ids:
        part = next((part for part in items[name]["parts"] if part["name"] == PARTS[name]), None)
        if part is None or part["state"] != "done":
            sys.exit(f"{name} is not done; run: ndtools reproduce {name} --output {folder}")
        result = folder / part["result"]
        about = json.loads(result.read_text())
        if about["experiment"] in SHOW_IMAGES and about["config"]["source"] != "sample-photo":
            sys.exit(f"{name} shows {about['config']['source']}; run: ndtools reproduce {name} --image sample-photo")
        results.append(result)
    return results


def draw(result: Path, gallery: Path) -> None:
    """Draw the figures of a result into the gallery, beside a copy of the .json file that made them."""
    drawing = (sys.executable, "-m", "ndtools", "figure", result, "--out", gallery, "--dpi", "150")
    subprocess.run([str(word) for word in drawing], check=True)
    shutil.copy(result, gallery / result.name)


if __name__ == "__main__":
    main()
