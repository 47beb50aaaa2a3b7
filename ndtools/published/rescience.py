"""The runs of a third party: Obadage, Rajtmajer and Wu, ReScience C 10 (2025), arXiv 2410.01189 (CC BY 4.0).

They ran the published code three times for each cell of table 1 of the paper (SGD with rate 0.1, weight decay 0.001 and
batches of 128, all with seed 0), with torch 1.13 on a V100 for CIFAR, and once on an A100 for ImageNet. Which images
their accuracies were measured on is this project's reading: see the field ``doubt`` of the entries.
"""

import statistics
from collections.abc import Iterator
from typing import Any, Literal

from ndtools.published.entry import Entry
from ndtools.published.paper import BLOCKS, TABLE_1_NETWORKS, TABLE_1_RECIPE

__all__ = ["RESCIENCE"]

# Network, data set, epochs, arm; accuracies of three runs in per cent; seconds of training of the same runs.
_CIFAR = """
VGG-16        cifar10    1 bn   12.95  15.55  14.65      34.9    44.35     32.9
VGG-16        cifar10    1 nd   74.06  74.43  74.12     56.52   243.16     56.4
VGG-16        cifar10   20 bn   90.18   90.6   90.3    414.66   452.15   355.24
VGG-16        cifar10   20 nd   92.96  92.81  92.72    978.15  1325.19  1245.88
VGG-16        cifar10  100 bn   99.85  99.85  99.85    966.21  1017.05   988.16
VGG-16        cifar10  100 nd   99.88  99.87  99.88   3303.74  3404.84  3360.95
VGG-16        cifar100   1 bn    1.59   1.28   1.55     24.13     24.1    19.39
VGG-16        cifar100   1 nd   23.71   24.3  24.04     42.33    44.01     42.2
VGG-16        cifar100  20 bn   69.24  68.83  69.04    209.97   205.16   199.29
VGG-16        cifar100  20 nd   88.62  88.51  88.15    696.82   698.52   694.62
VGG-16        cifar100 100 bn   99.24  99.24   99.2    949.31  1006.51  1357.29
VGG-16        cifar100 100 nd   99.28  99.32   99.3    3342.2  3495.83  3434.22
ResNet-18     cifar10    1 bn   46.27  47.96  45.44     35.38    35.37    35.47
ResNet-18     cifar10    1 nd   58.87  58.67  58.52    160.89     87.4    89.61
ResNet-18     cifar10   20 bn   92.32  92.33  92.39   1237.81  1309.77   1157.5
ResNet-18     cifar10   20 nd    94.2  94.06  94.34   3559.51  3581.87   3619.6
ResNet-18     cifar10  100 bn   96.37  96.28   96.3   1097.78  1097.33   1171.5
ResNet-18     cifar10  100 nd   96.46  96.42  96.39   6061.68  4963.48  4401.32
ResNet-18     cifar100   1 bn    8.76   9.58    9.1     19.24    19.96    21.31
ResNet-18     cifar100   1 nd   15.68  15.16  15.39     56.08     58.5    56.03
ResNet-18     cifar100  20 bn   68.17  68.17  69.14    227.75   223.51   887.73
ResNet-18     cifar100  20 nd   69.24  69.23  84.48    866.29   925.68   909.25
ResNet-18     cifar100 100 bn   97.43  97.47  97.36   1078.11  1077.62  1072.81
ResNet-18     cifar100 100 nd   93.96   94.4  94.56   4621.79  4431.45  4714.67
Preact-18     cifar10    1 bn   17.53  10.72  21.02      53.7    54.31    35.62
Preact-18     cifar10    1 nd   72.82   72.3  71.87     226.9    100.6   214.87
Preact-18     cifar10   20 bn   89.65  90.57  90.74    636.06   592.51   689.99
Preact-18     cifar10   20 nd    94.3  94.16  94.32   1097.81  1048.43  1037.29
Preact-18     cifar10  100 bn   99.88  99.91  99.93    1345.3  1359.49  1365.27
Preact-18     cifar10  100 nd   99.97  99.96  99.96    5040.7  5181.81  5137.06
Preact-18     cifar100   1 bn    8.47   8.41   8.29     23.16    22.44    22.51
Preact-18     cifar100   1 nd   22.36  22.65   22.8     60.15    70.74    74.61
Preact-18     cifar100  20 bn   87.77  87.62  87.79    279.47   280.93   324.48
Preact-18     cifar100  20 nd   94.71  94.79  94.62   1020.78  1011.68  1017.93
Preact-18     cifar100 100 bn   99.91   99.9   99.9   1383.09  1353.09  1375.88
Preact-18     cifar100 100 nd   99.77  99.74  99.75   5081.99  5104.93  5109.39
DenseNet-121  cifar10    1 bn   56.09  56.21  55.04     90.36    76.22   139.31
DenseNet-121  cifar10    1 nd   76.17  76.34  76.43     598.9   555.14   655.73
DenseNet-121  cifar10   20 bn    93.1  93.02  93.21   1174.68  1132.57  1162.58
DenseNet-121  cifar10   20 nd   94.96  94.89  94.75   5028.65   4630.6  4718.71
DenseNet-121  cifar10  100 bn   99.95  99.94  99.95   5519.53  5550.44  5577.28
DenseNet-121  cifar10  100 nd  99.958  99.97  99.97  23155.58 24321.04 23097.89
DenseNet-121  cifar100   1 bn   11.18  11.16  11.02     68.14    68.27    67.95
DenseNet-121  cifar100   1 nd   28.34  27.92  27.93    265.11    245.9   245.48
DenseNet-121  cifar100  20 bn   92.95  93.05  92.85   1141.66  1124.73  1315.25
DenseNet-121  cifar100  20 nd   98.18  98.09  98.08   4716.44  4668.14  4652.39
DenseNet-121  cifar100 100 bn   99.89  99.89   99.9   5582.69  5547.34   5606.3
DenseNet-121  cifar100 100 nd   99.93  99.92  99.93  26825.61 23292.57 26170.57
ResNext-29    cifar10    1 bn   24.55   28.2  24.34     53.77    91.64    53.75
ResNext-29    cifar10    1 nd   69.88   69.0  69.17    339.75   318.36   315.75
ResNext-29    cifar10   20 bn   92.61  92.37  92.04    904.01   896.13    919.3
ResNext-29    cifar10   20 nd   93.49  93.53  93.69   2614.81  2578.39  2594.16
ResNext-29    cifar10  100 bn   99.99  99.99  99.98   4467.56  4479.75  4474.52
ResNext-29    cifar10  100 nd   99.97  99.98  99.97   12898.3 12852.98 12904.14
ResNext-29    cifar100   1 bn    3.82   3.59   4.27     56.35    56.91    56.88
ResNext-29    cifar100   1 nd   22.63  22.99  22.41    140.88   142.28   144.32
ResNext-29    cifar100  20 bn   84.36  84.47  84.48    911.81   907.84   909.25
ResNext-29    cifar100  20 nd   98.34  98.31  98.32   2588.31  2620.82  2600.71
ResNext-29    cifar100 100 bn   99.93  99.93  99.93    4479.8  4508.66  4508.43
ResNext-29    cifar100 100 nd   99.96  99.96  99.96  12973.61 12872.25 12841.25
MobileNet v2  cifar10    1 bn   55.22  51.82  52.74     45.38    43.46    42.81
MobileNet v2  cifar10    1 nd   58.96  61.18  59.42     343.2   494.91   343.09
MobileNet v2  cifar10   20 bn   90.73  90.67  90.71    451.53   521.64   503.55
MobileNet v2  cifar10   20 nd   92.22  92.07  92.03   1810.48  1766.51   1637.5
MobileNet v2  cifar10  100 bn   94.78  94.68  94.95   2203.75  2179.78   2167.6
MobileNet v2  cifar10  100 nd   99.53  99.55  99.57   8330.35   7876.4  8112.42
MobileNet v2  cifar100   1 bn    9.35   10.5  10.48     32.53    33.44    32.93
MobileNet v2  cifar100   1 nd   14.25  14.36  14.36     88.46     88.1    90.99
MobileNet v2  cifar100  20 bn   75.35  74.99  74.82    459.78   450.52   438.87
MobileNet v2  cifar100  20 nd   82.99  82.95  82.83    1619.9   1648.8  1671.56
MobileNet v2  cifar100 100 bn   78.69  78.72  78.17   2182.37   3137.9   3216.9
MobileNet v2  cifar100 100 nd   98.52  98.53  98.52   8354.08  8132.19   8059.6
DPN-92        cifar10    1 bn    27.5  20.75  21.57    189.25    192.6   189.36
DPN-92        cifar10    1 nd   49.67  51.01  51.16   1208.94   527.96   389.14
DPN-92        cifar10   20 bn   91.59  92.19  91.59   2750.28  2780.88  2772.89
DPN-92        cifar10   20 nd    93.7  93.47  93.47   6567.51  6534.73  6397.82
DPN-92        cifar10  100 bn   99.97  99.96  99.97  13633.64  13723.7 13583.44
DPN-92        cifar10  100 nd   99.96  99.96  99.97  31706.78 31890.79 31733.39
DPN-92        cifar100   1 bn    1.69   1.48   1.57    152.97   153.47    152.8
DPN-92        cifar100   1 nd   12.98  12.75  12.73    339.99    346.4   339.69
DPN-92        cifar100  20 bn   85.96  84.14  59.66   2743.38  2738.34  1676.22
DPN-92        cifar100  20 nd   96.84  96.66  96.81   6452.24  6393.99  6412.53
DPN-92        cifar100 100 bn   99.94  99.91  99.94  13722.76 13698.12 13632.88
DPN-92        cifar100 100 nd   99.97  99.97  99.97  32088.93 31911.37 32681.81
PNASNetA      cifar10    1 bn   11.52  10.12  10.01     35.34    34.99    35.33
PNASNetA      cifar10    1 nd   65.01  65.33  65.23    161.01    102.6   196.02
PNASNetA      cifar10   20 bn   65.66  46.31  64.56    369.46      370   369.91
PNASNetA      cifar10   20 nd   81.94  81.45  81.44   1595.45  1591.27  1592.78
PNASNetA      cifar10  100 bn   81.61  81.86  81.43   1818.96  1821.45  1793.45
PNASNetA      cifar10  100 nd    89.0   88.9  89.03   7954.63  7931.41  7959.13
PNASNetA      cifar100   1 bn    1.14   1.63   1.59     25.86     28.6    26.83
PNASNetA      cifar100   1 nd   20.84  20.19  20.39     93.51       89    87.45
PNASNetA      cifar100  20 bn   35.06   34.4  37.54    393.29   368.54   373.52
PNASNetA      cifar100  20 nd   58.24  58.36  58.21   1619.32  1609.33  1600.28
PNASNetA      cifar100 100 bn   32.85  48.54  46.11   1821.34  1804.23   1821.1
PNASNetA      cifar100 100 nd   65.61  65.64  65.72   7954.64  8312.66  8392.15
SENet-18      cifar10    1 bn   59.12  58.16  58.58     41.54    38.64    38.38
SENet-18      cifar10    1 nd   67.05  68.48  67.86    398.89   232.17   472.31
SENet-18      cifar10   20 bn   92.89  92.84   92.5    337.94   357.15   337.57
SENet-18      cifar10   20 nd   94.17  94.44  94.15   1747.25  1399.06  1407.07
SENet-18      cifar10  100 bn   99.95  99.94  99.96   1689.88  1665.28  1655.23
SENet-18      cifar10  100 nd   99.95  99.95  99.96   6809.89  6935.27   7315.4
SENet-18      cifar100   1 bn   12.61  12.74   12.4     26.65    26.62    26.41
SENet-18      cifar100   1 nd   20.56  20.28  20.67     84.24    81.98    79.45
SENet-18      cifar100  20 bn   87.99  87.76  87.86    345.24   346.59   349.95
SENet-18      cifar100  20 nd   94.35  93.93  94.09   1779.25  1401.54  1481.68
SENet-18      cifar100 100 bn   99.93  99.92  99.92   1689.69  1682.86  1702.06
SENet-18      cifar100 100 nd   99.66  99.65  99.68   6889.26  6788.88  6761.34
EfficientNet  cifar10    1 bn   43.84   44.7  31.77     46.73     47.1    80.32
EfficientNet  cifar10    1 nd   58.35  60.81  60.57    177.24    58.84   164.93
EfficientNet  cifar10   20 bn   85.52  84.18  84.34    539.96   541.57   569.22
EfficientNet  cifar10   20 nd   87.45  87.76  88.09     568.1   545.68   621.97
EfficientNet  cifar10  100 bn   88.89  88.66  87.61   2742.91  2618.12  2580.06
EfficientNet  cifar10  100 nd   90.39  89.93  89.98   2660.73  2650.72  2826.76
EfficientNet  cifar100   1 bn    6.85   3.24   5.72     35.58     35.8    35.12
EfficientNet  cifar100   1 nd   15.28  16.74  16.32        37    51.35    36.25
EfficientNet  cifar100  20 bn   59.42   63.5   63.5    531.74      566   63.504
EfficientNet  cifar100  20 nd   66.94  66.88  66.67    540.29   581.31   542.79
EfficientNet  cifar100 100 bn   66.01  68.14  66.19   2611.75  2792.14  2646.89
EfficientNet  cifar100 100 nd   69.02  69.92  67.42    2751.6  2854.73  2745.91
"""
_AS_TRAINING = (
    "reads like training accuracy beside the test accuracy of the paper: 99 % on the test images of CIFAR-100 does not"
    " exist"
)
_SEEDS = "all runs have seed 0: their spread is that of the arithmetic of the GPU, a lower bound"
_UNSTABLE = "the published code is unstable here: the runs differ by 19 points"
_TIMES = "seconds of training; runs of one cell differ by a factor of up to 4.3"
_DOUBTS = {  # of whole cells, accuracies and times
    ("resnet18", "cifar10", "1", "bn"): "their list of jobs names resnet18d, the network for ImageNet",
    ("resnet18", "cifar10", "1", "nd"): "their list of jobs names resnet18d, the network for ImageNet",
    (
        "resnet18",
        "cifar100",
        "20",
        "nd",
    ): "the third run repeats accuracy and time of another row (ResNext-29, CIFAR-100, 20 epochs, bn)",
    ("efficientnet_b0", "cifar100", "20", "bn"): "two accuracies and the time of the third run have the same digits",
}


def _cifar() -> Iterator[Entry]:
    for line in _CIFAR.strip().splitlines():
        name, (data, epochs, norm, *numbers) = line[:13].strip(), line[13:].split()
        accuracies, seconds = tuple(numbers[:3]), tuple(numbers[3:])
        arch = TABLE_1_NETWORKS[name]
        conditions = {"arch": arch, "dataset": data, "norm": norm, "epochs": int(epochs), **TABLE_1_RECIPE}
        conditions |= {**(BLOCKS if norm == "nd" else {}), "hardware": "NVIDIA V100"}
        cell = f"rescience/{arch}/{data}/{norm}/{epochs}"
        split: Literal["test", "unclear"] = "test" if data == "cifar10" and epochs != "100" else "unclear"
        selection: Literal["best", "unclear"] = "best" if (data, epochs) == ("cifar10", "20") else "unclear"
        doubt = _DOUBTS.get((arch, data, epochs, norm))
        unstable = (arch, data, norm, epochs) == ("pnasnet_a", "cifar10", "bn", "20")
        common: dict[str, Any] = {
            "documents": ("rescience-2025",),
            "where": f"table 1, {name}",
            "n": 3,
            "conditions": conditions,
        }
        yield Entry(
            id=cell,
            unit="%",
            metric="top-1 accuracy",
            split=split,
            selection=selection,
            note=f"{_UNSTABLE}; {_SEEDS}" if unstable else _SEEDS,
            doubt="; ".join(filter(None, [_AS_TRAINING if split == "unclear" else None, doubt])) or None,
            **_summary(accuracies),
            **common,
        )
        yield Entry(
            id=f"{cell}/seconds",
            unit="s",
            metric="training time",
            note=_TIMES,
            doubt=doubt,
            **_summary(seconds),
            **common,
        )


def _summary(printed: tuple[str, ...]) -> dict[str, Any]:
    runs = tuple(map(float, printed))
    return {"value": statistics.fmean(runs), "spread": statistics.stdev(runs), "runs": runs, "printed": printed}


# Network, arm; top-1 and top-5 accuracy in per cent; wall time as hours and minutes.
_IMAGENET = (
    ("vgg11", "none", 69.614, 89.08, (31, 23)),
    ("vgg11", "bn", 71.352, 90.248, (39, 38)),
    ("vgg11", "nd", 71.946, 90.598, (69, 27)),
    ("resnet18", "bn", 70.718, 89.732, (13, 9)),
    ("resnet18", "nd", 71.576, 90.274, (35, 48)),
    ("densenet121", "bn", 75.884, 92.956, (93, 18)),
    ("densenet121", "nd", 75.668, 92.694, (134, 10)),
)


def _imagenet() -> Iterator[Entry]:
    for arch, norm, top1, top5, (hours, minutes) in _IMAGENET:
        common: dict[str, Any] = {
            "documents": ("rescience-2025",),
            "where": "table 2",
            "n": 1,
            "conditions": {"arch": arch, "dataset": "imagenet", "norm": norm, "epochs": 90, "hardware": "NVIDIA A100"},
        }
        cell = f"rescience/{arch}/imagenet/{norm}/90"
        for k, value in ((1, top1), (5, top5)):
            yield Entry(id=f"{cell}/top{k}", value=value, unit="%", metric=f"top-{k} accuracy", split="test", **common)
        seconds = 3600.0 * hours + 60 * minutes
        yield Entry(id=f"{cell}/seconds", value=seconds, unit="s", metric="training time", **common)


RESCIENCE: tuple[Entry, ...] = (*_cifar(), *_imagenet())
"""All entries of the third party."""
