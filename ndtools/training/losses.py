"""Losses of logits, and the number of images that are classified correctly."""

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot

__all__ = ["loss_of", "right"]


def loss_of(logits: Tensor, labels: Tensor, kind: str, smoothing: float = 0) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    logits : Tensor of shape (N, K)
        Outputs of the network.
    labels : int64 Tensor of shape (N,)
        Class index of each image.
    kind : {"ce", "l2"}
        Cross-entropy, or half the squared distance to the one-hot label. The published code computes the latter as the
        mean squared error times K/2.
    smoothing : float, default 0
        Share of the label that is spread over all classes.

    Returns
    -------
    Tensor of shape ()
        Mean over the images, at least float32.
    """
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    if kind == "ce":
        return cross_entropy(logits, labels, label_smoothing=smoothing)
    classes = logits.shape[1]
    target = one_hot(labels, classes).to(logits.dtype) * (1 - smoothing) + smoothing / classes
    return mse_loss(logits, target) * (classes / 2)


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many images are classified correctly. One with a logit that is NaN or infinite counts as wrong."""
    return (logits.isfinite().all(1) & (logits.argmax(1) == labels)).sum()
