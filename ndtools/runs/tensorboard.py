"""Records of a run as events that TensorBoard shows."""

from importlib.util import find_spec
from pathlib import Path

from ndtools.errors import OptionError
from ndtools.training.records import EpochRecord, StepRecord

__all__ = ["TensorBoard", "check_tensorboard"]


def check_tensorboard() -> None:
    """Raise an error if the package tensorboard is not installed."""
    if find_spec("tensorboard") is None:
        raise OptionError(
            "log", "needs the package tensorboard, which is not installed: pip install 'ndtools[tensorboard]'"
        )


class TensorBoard:
    """Event file in the folder of a run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    done : int
        Number of steps that were done before, by the run that is resumed: what older files have of later steps is
        hidden.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def add(self, record: StepRecord | EpochRecord) -> None:
        """Add the numbers of a record, at its step."""
        if isinstance(record, StepRecord):
            numbers = {"loss/step": record.loss, "lr": record.lr}
        else:
            numbers = {
                "loss/train": record.train_loss,
                "loss/evaluation": record.eval_loss,
                "accuracy/train": record.train_top1,
                "accuracy/evaluation": record.eval_top1,
            }
            if record.eval_top5 is not None:
                numbers["top-5/evaluation"] = record.eval_top5
            if record.eval_mean_iou is not None:
                numbers["mean IoU/evaluation"] = record.eval_mean_iou
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Write what has not been written yet, and close the file."""
        self._writer.close()
