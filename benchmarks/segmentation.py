"""What segmentation costs: the training loop beside a bare one, arms beside one another, and folded networks.

    python benchmarks/segmentation.py [--arch deeplabv3_resnet18] [--batch-size 8] [--repeats 5]

All numbers are processor time of one thread, of this process; images are scenes of 96×96 pixels, which another process
draws ahead for the training loop. The bare loop has one batch, made before, and nothing but forward, backward and step.
Whatever is compared takes its steps in turn, so that what else the machine does meets all. The folded network has to
give the label maps of the network that was folded, apart from ties.
"""

import argparse
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.labelled.scenes import scenes
from ndtools.data.labelled.views import Scenes
from ndtools.models.catalogue import SEGMENTATION_NAMES, build
from ndtools.surgery.fold import fold
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from ndtools.training.segmentation import Segmentation
from ndtools.training.streams import StreamedData

ARMS = ("bn", "deconv-reference", "deconv")


def network(arch: str, norm: str, classes: int) -> nn.Module:
    """Build a network, the same each time."""
    torch.manual_seed(0)
    return build(arch, norm, num_classes=classes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=SEGMENTATION_NAMES, default="deeplabv3_resnet18")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = StreamedData(scenes(), Scenes(crop=96), workers=1)
    task, recipe = Segmentation(data.classes), Recipe(batch_size=options.batch_size, lr=0.01, sched="poly", epochs=30)
    print(f"torch {torch.__version__}, CPU, 1 thread, {options.arch}, batches of {options.batch_size} images of 96×96")

    runs, models = {}, {}
    for norm in ARMS:
        training = Training(network(options.arch, norm, data.classes), data, recipe, task)
        models[norm] = training.model
        runs[norm] = (record for record in training.records() if hasattr(record, "loss"))
    images, labels = data.batches(recipe)[0]
    model = network(options.arch, "bn", data.classes)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)

    def bare() -> None:
        optimiser.zero_grad(set_to_none=True)
        task.loss(model(images), labels, recipe).backward()
        optimiser.step()

    seconds: dict[str, list[float]] = {"bare bn": [], **{norm: [] for norm in ARMS}}
    for repeat in range(options.repeats + 1):
        for name, times in seconds.items():
            start = time.process_time()
            bare() if name == "bare bn" else list(islice(runs[name], 1))
            if repeat:  # the first one allocates
                times.append(time.process_time() - start)
    least = statistics.median(seconds["bare bn"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        rate = options.batch_size / middle
        print(
            f"training, {name:18} {middle:7.3f} s a step, {rate:6.1f} images/s, {middle / least:5.2f} of the bare loop"
        )

    found, _ = next(data.evaluated("test"))
    for norm in ("deconv", "bn"):
        given = models[norm].eval()
        folded = fold(given, found[:2])[0] if norm == "deconv" else given
        times = {"before": [], "after": []}
        with torch.inference_mode():
            for repeat in range(options.repeats + 1):
                for name, each in (("before", given), ("after", folded)):
                    start = time.process_time()
                    each(found)
                    if repeat:
                        times[name].append((time.process_time() - start) / len(found))
            same = (given(found).argmax(1) == folded(found).argmax(1)).double().mean()
        before, after = (statistics.median(values) for values in times.values())
        print(f"evaluation, {norm:7} {before:7.4f} s an image; folded {after:7.4f} s, equal labels {100 * same:.4f} %")


if __name__ == "__main__":
    main()
