"""
Cones instead of primaries
==========================

Pixels of files are the red, green and blue of a display, coded for it. Eyes have cones of three kinds, which sum light.
Kernels of the same images in three colour spaces: as in the file, as light, and as signals of cones.
"""

from matplotlib.figure import Figure

import ndtools as nd
from ndtools.drawing.kernel_maps import draw_colours
from ndtools.drawing.weights import weight_norm

spaces = {"srgb": "sRGB", "linear": "light", "lms": "cones"}
results = {space: nd.kernels("sample-photo", kernel_size=7, eps=1e-5, space=space) for space in spaces}

# %%
# A row for each colour space. What an output channel takes from the three input channels is one picture, in which the
# first, second and third input are red, green and blue, and grey is 0.

figure = Figure(figsize=(7, 7), layout="constrained")
for row, (space, name) in zip(figure.subplots(3, 3), spaces.items(), strict=True):
    result = results[space]
    for ax, kernels, channel in zip(row, result.kernels, result.channels, strict=True):
        draw_colours(ax, kernels, weight_norm(result.kernels))
        ax.set_title(f"{name}, output {channel.name}")

# %%
# Cones L and M see nearly the same, so that what decorrelates them subtracts one from the other: red against green. S
# stands against both, blue against yellow. Centres of the kernels, by output and input:

for space, result in results.items():
    print(spaces[space])
    for channel, row in zip(result.channels, result.kernels[:, :, 3, 3], strict=True):
        weights = "  ".join(f"{weight:+7.1f} {other.name}" for weight, other in zip(row, result.channels, strict=True))
        print(f"  {channel.name}: {weights}")
