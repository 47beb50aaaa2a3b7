"""Run ndtools with networks so small that a step takes milliseconds: ``python -m tests.experiments.train.small_networks
train small_set/ --arch tiny``. Importing this module adds them to the catalogue."""

from ndtools.models.catalogue import CATALOGUE, Entry
from tests.tiny_scenes import ENTRY

CATALOGUE["tiny"] = Entry("vgg:VGG", {"counts": (1, 0, 0, 0, 0)}, {"first": {"n_iter": 3, "freeze_after": 7}})
CATALOGUE["small"] = Entry("vgg:VGG", {"counts": (1, 1, 0, 0, 0)}, {"first": {"n_iter": 3, "freeze_after": 7}})
CATALOGUE["tiny_scenes"] = ENTRY

if __name__ == "__main__":
    from ndtools.cli.app import main

    main()
