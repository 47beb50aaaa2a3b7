"""Folders of reproductions as ``ndtools reproduce`` writes them, around results of real small runs."""

import json
import shutil

from tests.commands import invoke
from tests.run_folders import write_run

RESULTS = {  # name of the folder within results/: command line
    "kernels-3fa9": ["kernels", "-k", "3"],
    "ns-stability-77c1": ["ns-stability", "--iterations", "12"],
}
OTHERS = ("vgg16", "resnet18", "dpn92", "senet18")


def run_experiments(folder, photos):
    """Run small experiments on photographs; each writes a folder of its own."""
    for name, (command, *options) in RESULTS.items():
        source = photos if command == "kernels" else photos / "0.jpg"
        done = invoke(command, source, *options, "--out", folder / name, "--dpi", 30, "-q")
        assert done.exit_code == 0, done.stderr
    return folder


def write_reproduction(folder, results, **changes):
    """Write the folder of a reproduction with results that are there; changes replace parts of the state."""
    shutil.copytree(results, folder / "results")
    for norm, accuracy in (("bn", 51.5), ("deconv", 73.4)):
        write_run(folder / "runs" / f"vgg16-{norm}", norm=norm, epochs=1, accuracy=accuracy)
    (folder / "reproduction.json").write_text(json.dumps(state() | changes))
    return folder


def item(name, title, **changes):
    """Return an item without parts and grades, in which changes are made."""
    return {
        "id": name,
        "aliases": [],
        "title": title,
        "where": "somewhere in the paper",
        "state": "can run",
        "reason": None,
        "runnable": [],
        "level": None,
        "seconds": None,
        "estimate": 12.5,
        "estimate_full": 86400 * 12,
        "command": f"ndtools reproduce {name}",
        "parts": [],
        "grades": [],
    } | changes


def part(name, experiment, **changes):
    """Return a part that is done."""
    return {
        "name": name,
        "experiment": experiment,
        "address": "3fa9",
        "state": "done",
        "seconds": 3.25,
        "estimate": 4.0,
        "result": None,
        "command": f"ndtools {experiment}",
        "reason": None,
    } | changes


def grade(subject, verdict, **changes):
    """Return a grade without a measured value."""
    return {
        "subject": subject,
        "verdict": verdict,
        "measured": None,
        "spread": None,
        "n": None,
        "reason": "Nothing was measured: CIFAR-10 is not here; ndtools data fetch cifar10 gets it.",
        "conditions": "",
        "third_party": [],
    } | changes


def level(*, full):
    """Return a recipe: the published one, or a smaller one."""
    return {
        "title": "published recipe" if full else "5,000 images, 1 epoch",
        "full": full,
        "concludes": "Whether deconvolution is ahead after one epoch can be concluded.",
        "not_concluded": "" if full else "By how much it is ahead with all images cannot be concluded.",
    }


def state():
    """Return the state of a reproduction in which all verdicts occur."""
    conditions = "5,000 of 50,000 images, 1 epoch, batches of 128, one thread of a processor"
    first = "table1/vgg16/cifar10/{}/1"
    others = {"third_party": ["report2/vgg16/cifar10/bn/1"]}
    runs = [part(f"{norm}, seed 0", "train", result=f"runs/vgg16-{norm}") for norm in ("bn", "deconv")]
    return {
        "format": 1,
        "ndtools": "0.1.0",
        "versions": {"ndtools": "0.1.0", "torch": "2.13.0"},
        "hardware": {"cpu": "a processor", "threads": 1},
        "started": "2026-01-01T10:00:00",
        "updated": "2026-01-02T11:00:00",
        "budget": 900,
        "items": [
            item(
                "fig2",
                "Kernels of photographs",
                state="done",
                level=level(full=True),
                seconds=3.25,
                parts=[part("all images", "kernels", result="results/kernels-3fa9/kernels.json")],
                grades=[
                    grade("claim/center-surround", "agrees", reason="All three are on-centre.", conditions="4 photos")
                ],
            ),
            item(
                "fig6",
                "Stability of Newton-Schulz",
                aliases=["fig7-v2"],
                state="done",
                level=level(full=True),
                parts=[
                    part("sample", "ns-stability", result="results/ns-stability-77c1/ns-stability.json"),
                    part("kernels", "kernels", result="results/kernels-3fa9/kernels.json"),
                ],
            ),
            item(
                "table1",
                "Accuracies of ten networks",
                state="partly",
                level=level(full=False),
                seconds=1800,
                parts=[
                    *runs,
                    part("bn, seed 1", "train", state="failed", seconds=None, reason="The disk is full."),
                ],
                grades=[
                    grade(
                        first.format("bn"),
                        "disagrees",
                        measured=51.5,
                        spread=0.42,
                        n=1,
                        reason="51.5 is 37.4 points above 14.12, and 2 standard deviations are 0.8 points.",
                        conditions=conditions,
                        **others,
                    ),
                    grade(
                        first.format("nd"),
                        "same direction",
                        measured=73.4,
                        n=1,
                        reason="Deconvolution is ahead, as published; the recipe is smaller.",
                        conditions=conditions,
                    ),
                    grade(
                        "table1/resnet18/cifar10/bn/1",
                        "not comparable",
                        measured=40.0,
                        n=1,
                        reason="The spread of the published runs is above 2 points.",
                        conditions=conditions,
                    ),
                    *(grade(f"table1/{arch}/cifar10/nd/20", "not run") for arch in OTHERS),
                ],
            ),
            item(
                "table2",
                "Accuracies on ImageNet",
                state="needs a GPU",
                reason="ImageNet is not here; give its folder with --data-dir.",
                grades=[grade("table2/resnet18/nd/top1/v2", "not run")],
            ),
        ],
    }
