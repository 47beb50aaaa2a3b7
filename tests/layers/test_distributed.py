"""Two processes with ``sync=True`` are one process on the whole batch."""

import copy
import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.iternorm import IterNorm
from ndtools.surgery.recalibrate import recalibrate

CONFIGS = {
    "paper": DeconvConfig(block_size=3, sampling_stride=1, sync=True),
    "reference": DeconvConfig.reference(block_size=2, sync=True),
}


def network(config):
    torch.manual_seed(0)
    return nn.Sequential(
        FastDeconv2d(4, 6, 3, padding=1, dtype=torch.float64, config=config),
        nn.ReLU(),
        FastDeconv2d(6, 2, 3, dtype=torch.float64, config=config),
    )


def batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 4, 9, 9, dtype=torch.float64, generator=generator) for _ in range(3)]


def train(model, shares):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in shares:
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()


def process(rank, folder):
    torch.set_num_threads(1)
    one_of_two(rank, folder)
    # A thread of torch that wants the interpreter while it shuts down aborts the process: this one ends without that.
    os._exit(0)


def one_of_two(rank, folder):
    patience = timedelta(seconds=60)  # with the other process, which may have failed
    where = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2, timeout=patience)
    for name, config in CONFIGS.items():
        model = network(config)
        train(DistributedDataParallel(model), [x[rank::2] for x in batches()])
        torch.save(model.state_dict(), f"{folder}/{name}{rank}.pt")
        # shares of unequal size weigh by it
        layer = network(config)[0]
        layer(batches()[0][:3] if rank else batches()[0][3:])
        torch.save(layer.state_dict(), f"{folder}/{name}-unequal{rank}.pt")
        recalibrate(layer, [x[:n] if rank else x[n:] for n, x in zip((3, 1, 4), batches(), strict=True)])
        torch.save(layer.state_dict(), f"{folder}/{name}-recalibrated{rank}.pt")
    layer = staggered()
    for x in batches():
        layer(x[4 * rank : 4 * rank + 4])
    torch.save(layer.state_dict(), f"{folder}/staggered{rank}.pt")
    model = whitened()
    train(DistributedDataParallel(model), [x[rank::2] for x in batches()])
    torch.save(model.state_dict(), f"{folder}/iternorm{rank}.pt")
    dist.destroy_process_group()


def whitened():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 6, 3, dtype=torch.float64), IterNorm(6, sync=True, dtype=torch.float64))


def staggered():
    torch.manual_seed(0)
    return FastDeconv2d(4, 2, 3, padding=1, dtype=torch.float64, config=DeconvConfig(block_size=3, sync=True))


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_are_one(tmp_path):
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    for name, config in CONFIGS.items():
        whole = network(config)
        train(whole, batches())
        layer = network(config)[0]
        layer(batches()[0])
        recalibrated = copy.deepcopy(layer)
        recalibrate(recalibrated, batches())
        expectations = {"": whole, "-unequal": layer, "-recalibrated": recalibrated}
        for rank in (0, 1):
            for kind, expected in expectations.items():
                file = f"{name}{kind}{rank}.pt"
                found = torch.load(tmp_path / file, weights_only=True)
                for key, value in expected.state_dict().items():
                    torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12, msg=f"{file} {key}")
    layer = staggered()
    for x in batches():
        layer(x)
    for rank in (0, 1):  # the images of both use the grids in turns, as in one process
        found = torch.load(tmp_path / f"staggered{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, dict(layer.state_dict()), rtol=1e-9, atol=1e-12)
    model = whitened()
    train(model, batches())
    for rank in (0, 1):
        found = torch.load(tmp_path / f"iternorm{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, dict(model.state_dict()), rtol=1e-9, atol=1e-12)
