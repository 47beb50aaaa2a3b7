"""``ndtools train``: runs of a list, their folders, and what goes wrong with them."""

import csv
import errno
import json
import re
import shlex
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from ndtools.checkpoints.files import load_network
from ndtools.experiments.train.config import TrainConfig
from ndtools.results.run_folder import RunFolder
from ndtools.runs import session
from ndtools.runs.data_sets import DataSets
from ndtools.runs.grid import command_of, plan
from ndtools.runs.run import prepare
from ndtools.runs.tensorboard import TensorBoard
from ndtools.training import state as states
from ndtools.training.loop import Evaluation
from ndtools.training.records import EpochRecord
from tests.commands import invoke
from tests.experiments.train import small_networks  # noqa: F401  (adds the networks)
from tests.small_set import write_small_set

pytestmark = [
    pytest.mark.usefixtures("unpainted"),
    pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning"),
]
TINY = ("--arch", "tiny", "-b", 4, "--lr", 0.02)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("data") / "small", n_train=40, n_test=20, side=8)


@pytest.fixture
def train(small_set, tmp_path):
    """Return a function that trains on the small set."""

    def run(*arguments, data=small_set):
        return invoke("train", data, *TINY, "-o", tmp_path, *arguments)

    return run


def result_of(run):
    return json.loads((run / "result.json").read_text())


def test_lists_make_one_run_for_each_combination(train, tmp_path):
    done = train("--norm", "bn,none", "--lr", "0.01,0.02", "--max-steps", 2, "--epochs", 2)
    assert done.exit_code == 0, done.output
    names = [f"small-tiny-{norm}-lr{lr}" for norm in ("bn", "none") for lr in (0.01, 0.02)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows[1:5]] == names
    files = {"run.json", "steps.jsonl", "summary.csv", "state.safetensors", "last.safetensors", "result.json"}
    for name in names:
        run, about = tmp_path / name, json.loads((tmp_path / name / "run.json").read_text())
        assert {path.name for path in run.iterdir()} == {*files, "figure.png", "figure.txt", ".lock"}
        assert f"small-tiny-{about['norm']}-lr{about['config']['lr']}" == name
        assert about["parameters"] == sum(p.numel() for p in load_network(run / "last.safetensors").parameters())
        assert (about["data"]["train_images"], about["data"]["eval_split"], about["steps"]) == (40, "test", 2)
        result = result_of(run)
        (line,) = csv.DictReader((run / "summary.csv").read_text().splitlines())
        assert (result["steps"], result["stopped"]) == (2, "max_steps")
        assert result["last"]["test_top1"] == result["last"]["eval_top1"] == float(line["eval_top1"])
        caption = (run / "figure.txt").read_text()
        assert f"small-tiny-{about['norm']}" in about["name"] and "40 training images in batches of 4" in caption
        assert about["command"] in caption


def test_runs_of_one_name_are_never_mixed(train, tmp_path):
    command = ("--norm", "none", "--max-steps", 1, "--name", "mine", "--repeats", 2, "--seed", 5)
    first, again = train(*command), train(*command, "--json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    runs = json.loads(again.stdout)["runs"]
    assert [(run["name"], run["config"]["seed"]) for run in runs] == [("mine-seed5-2", 5), ("mine-seed6-2", 6)]
    one, other, same = (load_file(tmp_path / f"mine-seed{n}" / "last.safetensors") for n in ("5", "6", "5-2"))
    key = "features.0.weight"
    assert torch.equal(one[key], same[key]) and not torch.equal(one[key], other[key])


def test_the_test_images_are_used_once_if_others_are_held_out(train, tmp_path):
    done = train("--norm", "bn", "--holdout", 8, "--epochs", 2, "--name", "run")
    assert done.exit_code == 0 and "held-out" in done.stdout
    run = tmp_path / "run"
    about, result, best = json.loads((run / "run.json").read_text()), result_of(run), run / "best.safetensors"
    data = about["data"]
    assert (data["train_images"], data["eval_images"], data["eval_split"]) == (32, 8, "held-out")
    lines = list(csv.DictReader((run / "summary.csv").read_text().splitlines()))
    top1 = [float(line["eval_top1"]) for line in lines]
    assert (result["best"]["eval_top1"], result["best"]["epoch"]) == (max(top1), 1 + top1.index(max(top1)))
    # The final number is that of the last network on all test images, computed here anew.
    config = TrainConfig(**about["config"])
    images = DataSets(torch.device("cpu")).of(config).data
    network = load_network(run / "last.safetensors").eval()
    with torch.no_grad():
        right = network(images.normalised(images.test.images)).argmax(1) == images.test.labels
    assert result["last"]["test_top1"] == pytest.approx(100 * float(right.double().mean()), rel=1e-12)
    assert best.exists()


def test_a_finished_run_has_nothing_left_to_do(train, tmp_path):
    assert train("--norm", "none", "--max-steps", 1, "--name", "run").exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    again = invoke("train", "--resume", tmp_path / "run")
    assert again.exit_code == 0 and "has finished: nothing is left to do" in again.stderr and "run " in again.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def untimed(run):
    """Return the records in the folder of a run, without seconds."""
    steps = [json.loads(line) | {"seconds": 0} for line in (run / "steps.jsonl").read_text().splitlines()]
    return steps, [line.rpartition(",")[0] for line in (run / "summary.csv").read_text().splitlines()]


@pytest.mark.parametrize("ends", [(4, 13, "none"), (10, "none")])
def test_a_run_that_max_steps_ended_goes_on_as_if_it_had_not(train, tmp_path, ends):
    settings = ("--norm", "bn", "--epochs", 2, "--holdout", 8, "-b", 3)  # epochs of ten steps
    first, *others = ends
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert train(*settings, "--max-steps", first, "--name", "run").exit_code == 0
    assert result_of(run)["steps"] == first
    for end in others:
        done = invoke("train", "--resume", run, "--max-steps", end)
        assert done.exit_code == 0, done.output
        assert json.loads((run / "run.json").read_text())["config"]["max_steps"] == (None if end == "none" else end)
    assert train(*settings, "--name", "whole").exit_code == 0
    assert untimed(run) == untimed(whole)
    for name in ("last", "best", "state"):
        tensors, wanted = load_file(run / f"{name}.safetensors"), load_file(whole / f"{name}.safetensors")
        assert all(torch.equal(tensors[key], value) for key, value in wanted.items()), name
    result, wanted = result_of(run), result_of(whole)
    assert [result[key] for key in ("steps", "last", "best", "stopped")] == [
        wanted[key] for key in ("steps", "last", "best", "stopped")
    ]
    assert json.loads((run / "run.json").read_text())["steps"] == result["steps"] == 20
    refused = invoke("train", "--resume", run, "--max-steps", 40)
    assert refused.exit_code == 2 and "--max-steps cannot be changed" in refused.stderr


def test_the_best_network_of_whole_epochs_is_kept_for_a_run_that_is_made_longer(train, tmp_path, monkeypatch):
    accuracies = iter([50.0, 60.0, 40.0, 30.0])  # after the first epoch, half of the second, all of it, and at the end
    monkeypatch.setattr("ndtools.training.loop.Training.evaluate", lambda *_: Evaluation(1.0, next(accuracies, 0.0)))
    run, settings = tmp_path / "run", ("--norm", "bn", "--holdout", 8, "-b", 3)
    assert train(*settings, "--epochs", 1, "--sched", "constant", "--name", "one").exit_code == 0
    accuracies = iter([50.0, 60.0, 0.0, 40.0, 30.0])  # 0 on the test images
    assert train(*settings, "--epochs", 2, "--sched", "constant", "--max-steps", 15, "--name", "run").exit_code == 0
    assert result_of(run)["best"] == {"epoch": 2, "eval_top1": 60.0}
    assert invoke("train", "--resume", run, "--max-steps", "none").exit_code == 0
    assert result_of(run)["best"] == {"epoch": 1, "eval_top1": 50.0}
    wanted = load_file(tmp_path / "one" / "best.safetensors")
    assert all(torch.equal(value, wanted[key]) for key, value in load_file(run / "best.safetensors").items())
    assert not (run / "best-whole.safetensors").exists()


def test_a_run_that_is_killed_as_it_is_made_longer_goes_on(train, tmp_path, monkeypatch):
    assert train("--norm", "none", "--max-steps", 3, "--epochs", 1, "--name", "run").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "reopen", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert invoke("train", "--resume", tmp_path / "run", "--max-steps", 5).exit_code == 130
    done = invoke("train", "--resume", tmp_path / "run")
    assert done.exit_code == 0 and result_of(tmp_path / "run")["steps"] == 5


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (3, "must be above the 4 steps that"),
        ("many", "must be a whole number, or none, got 'many'"),
        (0, "must be at least 1"),
    ],
)
def test_a_run_is_made_longer_only(train, tmp_path, end, message):
    assert train("--norm", "none", "--max-steps", 4, "--name", "run").exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    refused = invoke("train", "--resume", tmp_path / "run", "--max-steps", end)
    assert refused.exit_code == 2 and f"--max-steps {message}" in refused.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.fixture
def unfinished(train, tmp_path, monkeypatch):
    """Return the folder of a run whose disk was full when the state was to be written a second time."""
    written, to_bytes = [], states.to_bytes

    def full(*arguments, **settings):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(1)
        return to_bytes(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(states, "to_bytes", full)
        done = train("--norm", "bn", "--epochs", 2, "--name", "run")
    assert done.exit_code == 1
    assert "state.safetensors: No space left on device" in done.stderr
    assert "the state that was written before is kept" in done.stderr
    assert f"go on with: ndtools train --resume {tmp_path / 'run'}" in done.stderr
    assert not list((tmp_path / "run").glob("*.tmp*"))
    return tmp_path / "run"


def test_a_run_goes_on_when_the_disk_has_room_again(unfinished, train, tmp_path):
    assert not (unfinished / "result.json").exists()
    with (unfinished / "steps.jsonl").open("a") as file:
        file.write('{"step": 21, "ep')  # a line cut short
    done = invoke("train", "--resume", unfinished)
    assert done.exit_code == 0 and "goes on after step 10 of 20" in done.stderr, done.output
    assert train("--norm", "bn", "--epochs", 2, "--name", "whole").exit_code == 0
    assert len((unfinished / "steps.jsonl").read_text().splitlines()) == 20
    about = json.loads((unfinished / "run.json").read_text())
    (again,) = about["resumed"]
    assert again["step"] == 10
    for name in ("versions", "hardware", "threads", "processes"):
        assert again[name] == about[name]
    whole = load_file(tmp_path / "whole" / "last.safetensors")
    for name, value in load_file(unfinished / "last.safetensors").items():
        assert torch.equal(value, whole[name]), name


def test_only_one_process_writes_into_a_folder(unfinished):
    with RunFolder.open(unfinished).lock():
        refused = invoke("train", "--resume", unfinished)
    assert refused.exit_code == 1 and "another process is writing into" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", 0.2), r"--lr must be 0.02, as .*run was started with, got 0.2; leave it out, or start a new run"),
        (("--epochs", 3), r"--epochs must be 2"),
        (("--norm", "bn,none"), r"--norm must be bn"),
        (("--name", "other"), r"--name cannot be combined with --resume|--name"),
    ],
)
def test_a_run_resumes_with_its_own_settings_alone(unfinished, arguments, message):
    refused = invoke("train", "--resume", unfinished, *arguments)
    assert refused.exit_code == 2 and re.search(message, refused.stderr), refused.stderr
    assert not (unfinished / "result.json").exists()


def test_a_run_resumes_with_its_own_images_alone(unfinished, small_set, tmp_path):
    other = write_small_set(tmp_path / "small", n_train=40, n_test=20, side=8, seed=1)
    refused = invoke("train", other, "--resume", unfinished)
    assert refused.exit_code == 3 and "was started with other images" in refused.stderr
    means = re.search(r"its mean of the pixels was (.*), and that of .* is (.*); give", refused.stderr)
    assert means and means[1] != means[2] and "[" not in means[0]
    assert max(len(number) for text in means.groups() for number in text.split(", ")) <= 8  # not 17 digits


def test_a_run_resumes_with_images_that_have_moved_and_an_earlier_name_of_its_network(
    unfinished, small_set, tmp_path, monkeypatch
):
    monkeypatch.setitem(session.EARLIER_NAMES, "tiny-1", "tiny")
    moved = shutil.copytree(small_set, tmp_path / "elsewhere")
    done = invoke("train", moved, "--resume", unfinished, "--arch", "tiny-1")
    assert done.exit_code == 0 and (unfinished / "result.json").exists(), done.output


def test_a_state_that_is_damaged_is_named(unfinished):
    state = unfinished / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    refused = invoke("train", "--resume", unfinished)
    assert refused.exit_code == 3 and str(state) in refused.stderr


@pytest.mark.parametrize(("path", "message"), [("absent", "no such"), ("folder", "it has no run.json")])
def test_folders_without_a_run_cannot_be_resumed(tmp_path, path, message):
    (tmp_path / "folder").mkdir()
    refused = invoke("train", "--resume", tmp_path / path)
    assert refused.exit_code == 3 and message in refused.stderr


def test_a_folder_of_runs_is_told_from_a_run(unfinished, train):
    assert train("--norm", "none", "--max-steps", 1, "--name", "done").exit_code == 0
    refused = invoke("train", "--resume", unfinished.parent)
    assert refused.exit_code == 3
    assert f"a folder of runs; give one of them: {unfinished}\n" in refused.stderr


def test_a_run_that_diverges_says_where_and_the_others_go_on(train, tmp_path):
    done = train("--norm", "none", "--lr", "100000,0.01", "--max-steps", 8)
    assert done.exit_code == 4, done.output
    diverged, other = (tmp_path / f"small-tiny-none-lr{lr}" for lr in ("100000", "0.01"))
    result = result_of(diverged)
    assert (result["stopped"], result["last"], result_of(other)["stopped"]) == ("diverged", None, "max_steps")
    assert result["steps"] < 8
    said = re.search(r"training diverged at step (\d+): the loss is (nan|inf), and the first layer (.*)", done.stderr)
    assert said and int(said[1]) == result["steps"] + 1
    assert "lower --lr, or use --warmup-epochs" in done.stderr and "`lr`" in result["reason"]
    assert "diverged" in done.stdout and other.name in done.stdout
    again = invoke("train", "--resume", diverged)
    assert again.exit_code == 4 and "training diverged at step" in again.stderr and "diverged" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--arch", "simple_cn"), 2, "did you mean simple_cnn?"),
        (("--norm", "bn,batch"), 2, "--norm must be one of"),
        (("--norm", "bn", "--eps", 0.1), 2, "--eps is a setting of deconvolution layers"),
        (("--lr", "0.1,0.1"), 2, "--lr must be one or more values, each once, got 0.1, 0.1"),
        (("-b", 41), 2, "--batch-size must be at most the number of training images, 40"),
        (("--holdout", 40), 2, "--holdout must be at least 0 and less than the 40 training images"),
        (("--constants", "published"), 2, "--constants must be pooled for small"),
        (("--checkpoint-every", 0), 2, "--checkpoint-every must be above 0"),
        (("--amp", "off,fp16", "--device", "cpu"), 2, "--amp must be off or bf16 on the device cpu"),
        (("--name", "a/b"), 2, "--name must be a file name"),
        (("--log", "wandb"), 2, "--log must be"),
        (("--resume", "run", "--repeats", 2), 2, "--repeats"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(train, tmp_path, arguments, code, message):
    refused = train(*arguments)
    assert (refused.exit_code, message in refused.stderr) == (code, True), refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_early_counts_the_epochs_that_it_has(train):
    done = train("--norm", "none", "--epochs", 20, "--max-steps", 12)
    assert "epoch 1/2 " in done.stderr and "epoch 2/2 " in done.stderr


def test_a_request_to_stop_as_a_run_ends_keeps_the_next_from_starting(train, tmp_path, monkeypatch):
    real = session.train

    def trained(*arguments, **settings):
        result = real(*arguments, **settings)
        signal.raise_signal(signal.SIGINT)  # in the last step, or while the result is written
        return result

    monkeypatch.setattr(session, "train", trained)
    done = train("--norm", "none", "--max-steps", 1, "--name", "run", "--repeats", 3)
    assert done.exit_code == 130
    assert "2 runs of this command did not start; start them with:" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run-seed0"]
    assert result_of(tmp_path / "run-seed0")["steps"] == 1 and "run-seed0" in done.stdout
    monkeypatch.undo()
    commands = [shlex.split(line) for line in done.stderr.splitlines() if line.startswith("  ndtools train ")]
    assert len(commands) == 2
    for command in commands:
        assert invoke(*command[1:]).exit_code == 0
    configs = [json.loads((tmp_path / f"run-seed{seed}" / "run.json").read_text())["config"] for seed in range(3)]
    assert [config | {"seed": 0} for config in configs] == [configs[0]] * 3
    assert [config["seed"] for config in configs] == [0, 1, 2]


def test_an_interrupted_command_prints_its_json(train, tmp_path, monkeypatch):
    real = session.train

    def interrupted(*arguments, stop, **settings):
        return real(*arguments, stop=lambda: True, **settings)

    monkeypatch.setattr(session, "train", interrupted)
    done = train("--norm", "none", "--name", "run", "--repeats", 2, "--json")
    assert done.exit_code == 130
    printed = json.loads(done.stdout)
    assert [(run["name"], run["result"]) for run in printed["runs"]] == [("run-seed0", None)]
    (command,) = printed["not_started"]
    assert f"--name run-seed1 --output {tmp_path}" in command and command in done.stderr


def test_the_command_of_a_run_has_all_of_its_settings():
    settings = {"norm": ("bn",), "epochs": (3,), "lr": (0.02,), "arch": ("vgg16",), "sampling_stride": (None,)}
    (run,) = plan(TrainConfig, "a set", settings, augment=False, compile=True, max_steps=7, name="x y")
    assert shlex.split(command_of(run)) == [
        *("ndtools", "train", "a set", "--epochs", "3", "--lr", "0.02", "--max-steps", "7", "--no-augment"),
        *("--compile", "--arch", "vgg16", "--norm", "bn", "--name", "x y"),
    ]


def test_the_command_of_one_run_of_a_list_names_what_was_listed():
    """Also where the value is the default of the command, as the norm deconv and the rate 0.1 are."""
    lists = {"norm": ("bn", "deconv"), "lr": (0.1, 0.2), "arch": ("vgg11",), "n_iter": (None, 3)}
    runs = plan(TrainConfig, "glyphs", lists, repeats=2)
    run = next(run for run in runs if run.config.norm == "deconv" and run.config.lr == 0.1)
    name = "glyphs-vgg11-deconv-lr0.1-seed0"
    words = ["ndtools", "train", "glyphs", "--lr", "0.1", "--seed", "0", "--norm", "deconv", "--name", name]
    assert run.name == name and shlex.split(command_of(run)) == words
    several = shlex.split(command_of(run, processes=3, output="my runs"))
    assert several == ["torchrun", "--nproc-per-node", "3", "-m", *words, "--output", "my runs"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()])
def test_the_runs_behind_one_that_fails_can_be_started(train, tmp_path, monkeypatch, error):
    real, calls = session.prepare, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return real(*arguments)

    monkeypatch.setattr(session, "prepare", failing)
    done = train("--norm", "deconv,none,bn", "--max-steps", 1)
    assert done.exit_code != 0 and "2 runs of this command did not start; start them with:" in done.stderr
    monkeypatch.undo()
    for line in done.stderr.splitlines():
        if line.startswith("  ndtools train "):
            assert invoke(*shlex.split(line)[1:]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"small-tiny-{norm}" for norm in ("bn", "deconv", "none")}


def test_absent_data_are_named(train, tmp_path):
    refused = train(data=tmp_path / "nothing")
    assert refused.exit_code == 3 and "nothing" in refused.stderr


def test_an_absent_package_is_named(train, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    refused = train("--log", "tensorboard")
    assert refused.exit_code == 2 and "pip install 'ndtools[tensorboard]'" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_tensorboard_has_the_records(train, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train("--norm", "none", "--max-steps", 3, "--name", "run", "--log", "tensorboard").exit_code == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    steps = [json.loads(line) for line in (tmp_path / "run" / "steps.jsonl").read_text().splitlines()]
    found = [(event.step, event.value) for event in events.Scalars("loss/step")]
    assert found == [(step["step"], pytest.approx(step["loss"], rel=1e-6)) for step in steps]
    assert len(events.Scalars("accuracy/evaluation")) == 1


def test_tensorboard_has_all_measures_of_an_evaluation():
    found = {}
    log = object.__new__(TensorBoard)  # without the package, which may be absent
    log._writer = SimpleNamespace(add_scalar=lambda name, value, step: found.update({name: (step, value)}))
    numbers = {"train_loss": 1, "train_top1": 2, "eval_loss": 3, "eval_top1": 4, "lr": 5, "seconds": 6}
    log.add(EpochRecord(epoch=1, step=7, **numbers))
    assert not any("IoU" in name or "top-5" in name for name in found)
    log.add(EpochRecord(epoch=1, step=7, **numbers, eval_top5=60, eval_mean_iou=40))
    assert (found["mean IoU/evaluation"], found["top-5/evaluation"]) == ((7, 40), (7, 60))


def test_the_first_layer_is_whitened_by_the_training_images(small_set):
    config = TrainConfig(str(small_set), arch="tiny", norm="first-whitened", batch_size=4)
    run = prepare(config, DataSets(torch.device("cpu")))
    data, conv = run.training.data, run.training.model.features[0]
    assert conv.whitening.frozen
    # Mean of the middle pixel of all patches: that of all pixels, as these constants make it.
    mean = conv.whitening.running_mean.flatten()
    images = data.normalised(data.train.images)
    patches = torch.nn.functional.unfold(images, 3, padding=1).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(mean, patches.mean(0), rtol=1e-4, atol=1e-4 * float(patches.std()))


def test_constants_are_chosen(small_set):
    data_sets = DataSets(torch.device("cpu"))
    assert TrainConfig("cifar10", norm="deconv-reference").constants == "pooled"  # as for the arms beside it
    data = data_sets.of(TrainConfig(str(small_set))).data
    assert float(data.normalised(data.train.images).mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.normalised(data.train.images).std(correction=0)) == pytest.approx(1, rel=1e-5)
