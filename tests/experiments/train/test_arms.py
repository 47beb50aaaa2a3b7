"""What training does for single arms of a comparison."""

import torch

from ndtools.experiments.train.config import TrainConfig
from ndtools.runs.run import DataSets, prepare
from tests.narrow_networks import narrow


def test_the_first_layer_is_whitened_by_the_training_images(monkeypatch):
    narrow(monkeypatch)
    config = TrainConfig(dataset="glyphs", arch="vgg11", norm="first-whitened", images=64, batch_size=16, max_steps=2)
    run = prepare(config, DataSets(torch.device("cpu")))
    whitening = run.training.model.features[0].whitening
    before = {name: value.clone() for name, value in whitening.state_dict().items()}
    data = run.training.data
    mean = data.normalised(data.train.images).mean().cpu()
    middle = whitening.running_mean[0, 0, 4] / whitening.running_weight
    torch.testing.assert_close(middle, mean, rtol=1e-4, atol=1e-5)
    for _ in run.training.records():
        pass
    assert all(torch.equal(value, before[name]) for name, value in whitening.state_dict().items())
