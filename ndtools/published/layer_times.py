"""Times of the stages of a deconvolution layer: table 3 of Ye et al. 2020."""

from collections.abc import Iterator

from ndtools.published.entry import Entry

__all__ = ["LAYER_TIMES", "TABLE_3"]

# Height and width, input and output channels, groups, kernel size, sampling stride; seconds of the stages. These are
# the rows of the second version. The first has the first 15, with the same digits and without the kernel size.
_TABLE_3 = """
256   3  64   1  3  3  0.069  0.0079  0.00025  0.50
128  64 128   1  3  3  0.315  0.3214  0.02069  0.67
 64 128 256   2  3  3  0.045  0.0445  0.00076  0.55
 32 256 512   4  3  3  0.022  0.0391  0.00222  0.48
 16 512 512   8  3  3  0.011  0.0444  0.01155  0.23
128  64 128  64  3  3  0.376  0.0871  0.00024  0.66
 64 128 256 128  3  3  0.042  0.0412  0.00082  0.53
 32 256 512 256  3  3  0.023  0.0377  0.00208  0.47
 16 512 512 512  3  3  0.011  0.0437  0.01194  0.22
128  64 128  32  3  3  0.360  0.0939  0.00021  0.67
 64 128 256  32  3  3  0.044  0.0425  0.00076  0.55
 32 256 512  32  3  3  0.023  0.0374  0.00204  0.46
 16 512 512  32  3  3  0.011  0.0421  0.01180  0.22
256   3  64   1  3  5  0.030  0.0046  0.00029  0.49
128  64 128   1  3  5  0.153  0.1284  0.01901  0.66
256   3  64   1  7  3  0.338  0.1111  0.00107  0.69
256   3  64   1  7  5  0.180  0.0408  0.00107  0.69
256   3  64   1  7  7  0.063  0.0210  0.00104  0.70
256   3  64   1 11  3  0.681  0.4810  0.00479  0.99
256   3  64   1 11  5  0.315  0.1909  0.00488  1.00
256   3  64   1 11  7  0.199  0.1022  0.00494  0.99
256   3  64   1 11 11  0.069  0.0420  0.00496  1.00
"""
_IN_FIRST_VERSION = 15
_LAYER = ("size", "in_channels", "out_channels", "groups", "kernel_size", "sampling_stride")
_STAGES = ("im2col", "covariance", "inverse", "convolution")

_ROWS = [line.split() for line in _TABLE_3.strip().splitlines()]

TABLE_3: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...] = tuple(
    (tuple(map(int, words[: len(_LAYER)])), tuple(map(float, words[len(_LAYER) :]))) for words in _ROWS
)
"""Rows of table 3: the layer (height and width, input channels, output channels, groups, kernel size and sampling
stride) and its seconds (im2col, covariance, inverse and convolution) for 128 images."""


def _layer_times() -> Iterator[Entry]:
    for number, ((layer, times), words) in enumerate(zip(TABLE_3, _ROWS, strict=True), 1):
        both = number <= _IN_FIRST_VERSION
        for stage, value, printed in zip(_STAGES, times, words[len(_LAYER) :], strict=True):
            yield Entry(
                id=f"table3/{number}/{stage}",
                documents=("paper-v1", "paper-v2") if both else ("paper-v2",),
                where=f"table 3, row {number}",
                value=value,
                printed=(printed,),
                unit="s",
                metric="computing time",
                conditions={
                    "stage": stage,
                    **dict(zip(_LAYER, layer, strict=True)),
                    "batch_size": 128,
                    "n_iter": 5,
                    "hardware": "a CPU that is not named",
                },
                note="the groups are read as blocks of channels that are decorrelated apart, not as groups of the"
                " convolution" + ("; the first version has no column of kernel sizes" if both else ""),
                doubt=_REPEATED if layer[0] == 128 and layer[5] == 3 and stage == "im2col" else None,
            )


_REPEATED = "rows 2, 6 and 10 sample the same patches, and have 0.315, 0.376 and 0.36 s: times differ by a fifth"

LAYER_TIMES: tuple[Entry, ...] = tuple(_layer_times())
"""All entries of table 3."""
