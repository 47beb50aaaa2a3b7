"""Folders of training runs, made without training: what commands that read runs are tested with."""

import dataclasses
import json

import numpy as np

from ndtools.experiments.train.config import TrainConfig

CONFIG = dataclasses.asdict(TrainConfig("cifar10", arch="vgg16", norm="bn", epochs=4))


def write_run(folder, *, done=None, state="finished", accuracy=90.0, per_epoch=20, seconds=2.0, half=False, **settings):
    """Write the folder of a run whose accuracy rises to ``accuracy``, as far as ``done`` epochs; return the folder.

    ``state`` is "finished", "running" or "diverged"; with ``half``, the last lines are cut short. Other settings are
    those of the configuration, or "hardware", "threads" and "processes". With ``segments`` the run labels pixels, and
    its mean intersection over union rises to ``accuracy`` less 30; ``splits`` are the images of a streamed set.
    """
    segments, splits = settings.pop("segments", False), settings.pop("splits", None)
    location = settings.pop("location", "a folder")
    about = {name: settings.pop(name) for name in ("hardware", "threads", "processes") if name in settings}
    config = {**CONFIG, **settings}
    rng = np.random.default_rng([config["seed"], sum(map(ord, config["norm"]))])
    done = config["epochs"] if done is None else done
    folder.mkdir(parents=True)
    split = "held-out" if config["holdout"] else "test"
    if splits is not None:
        split = "validation" if "eval" in splits else "test" if "test" in splits else "training"
    description = {
        "format": 1,
        "name": folder.name,
        "command": "ndtools train",
        "arch": config["arch"],
        "norm": config["norm"],
        "parameters": 14728266,
        "network": {"arch": config["arch"]},
        "config": config,
        "data": {
            "name": config["dataset"],
            "synthetic": False,
            "train_images": (config["images"] or 50000) - config["holdout"],
            "eval_images": config["holdout"] or 10000,
            "eval_split": split,
            "test_images": 10000,
            "location": location,
            "mean": [0.4914, 0.4822, 0.4465],
            "std": [0.247, 0.2435, 0.2616],
            "classes": 3,
            **({} if splits is None else {"fingerprint": dict.fromkeys(["train", *splits], "a list")}),
        },
        "task": "segmentation" if segments else "classification",
        "versions": {"ndtools": "0.1.0"},
        "hardware": {"cpu": "a processor"},
        "processes": 1,
        "threads": 1,
        "started": "2026-01-01T00:00:00",
        **about,
    }
    (folder / "run.json").write_text(json.dumps(description))
    steps, epochs, time = [], [], 0.0
    for step in range(1, done * per_epoch + (7 if state == "running" else 0) + 1):
        time += seconds / per_epoch
        loss = 2.3 * np.exp(-step / 30) + 0.3 + 0.05 * rng.standard_normal()
        steps.append({"step": step, "epoch": step / per_epoch, "loss": loss, "lr": 0.1, "seconds": time, "images": 128})
        if step % per_epoch == 0:
            epoch = step // per_epoch
            top1 = accuracy * (1 - 0.6 * np.exp(-epoch)) / (1 - 0.6 * np.exp(-config["epochs"]))
            top1 += 0.3 * rng.standard_normal()
            epochs.append(
                (epoch, loss, top1 - 2, loss + 0.1, top1, 0.1 / epoch, time, *([top1 - 30] if segments else []))
            )
    if state == "diverged":
        last = len(steps)
        steps.append(
            {"step": last + 1, "epoch": (last + 1) / per_epoch, "loss": None, "lr": 0.1, "seconds": time, "images": 128}
        )
    lines = "".join(json.dumps(step) + "\n" for step in steps)
    (folder / "steps.jsonl").write_text(lines[:-9] if half else lines)
    table = f"epoch,train_loss,train_top1,eval_loss,eval_top1,lr,seconds{',eval_mean_iou' if segments else ''}\n"
    table += "".join(",".join(map(repr, map(float, row))) + "\n" for row in epochs)
    (folder / "summary.csv").write_text(f"{table}{done + 1},0.2" if half else table)
    if state != "running":
        best = max(epochs, key=lambda row: row[4], default=None)
        last = epochs[-1] if epochs else None
        result = {
            "format": 1,
            "steps": len(steps),
            "last": last and {"epoch": last[0], "eval_top1": last[4], "eval_loss": last[3]},
            "best": best and {"epoch": best[0], "eval_top1": best[4]},
            "seconds": time,
            "stopped": "diverged" if state == "diverged" else None,
            "reason": f"the loss of step {len(steps)} is not finite; lower `lr`, or use `warmup_epochs`"
            if state == "diverged"
            else None,
        }
        if last:
            separate = split == "held-out" or (split == "validation" and "test" in splits)
            result["last"] |= {"test_top1": last[4] - 0.5 if separate else last[4], "test_loss": last[3]}
        if last and segments:
            iou = result["last"]["test_top1"] - 30
            result["last"] |= {"eval_mean_iou": last[7], "test_mean_iou": iou, "test_iou": [iou - 5, iou + 5, None]}
            result["best"] |= {"eval_mean_iou": best[7]}
        (folder / "result.json").write_text(json.dumps(result))
    return folder
