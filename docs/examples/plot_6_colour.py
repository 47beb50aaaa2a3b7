"""
Cones instead of primaries
==========================

The pixels of a file are the red, green and blue of a display, and are coded for it. The eye has cones of three kinds,
which sum light. This example compares kernels of the same images in three colour spaces: the values of the file, light,
and signals of cones.
"""

from matplotlib.figure import Figure

import ndtools as nd
from ndtools.drawing.kernel_maps import draw_colours
from ndtools.drawing.weights import weight_norm

spaces = {"srgb": "sRGB", "linear": "light", "lms": "cones"}
results = {space: nd.kernels("sample-photo", kernel_size=7, eps=1e-5, space=space) for space in spaces}

# %%
# Each row is a colour space. The weights of an output channel for the three input channels form one picture, in which
# the first, second and third input are red, green and blue, and grey is 0.

figure = Figure(figsize=(7, 7), layout="constrained")
for row, (space, name) in zip(figure.subplots(3, 3), spaces.items(), strict=True):
    result = results[space]
    for ax, kernels, channel in zip(row, result.kernels, result.channels, strict=True):
        draw_colours(ax, kernels, weight_norm(result.kernels))
        ax.set_title(f"{name}, output {channel.name}")

# %%
# The signals of the cones L and M are nearly the same, so deconvolution subtracts one from the other: red against
# green. S opposes both, blue against yellow. Centres of the kernels, by output and input:

for space, result in results.items():
    print(spaces[space])
    for channel, row in zip(result.channels, result.kernels[:, :, 3, 3], strict=True):
        weights = "  ".join(f"{weight:+7.1f} {other.name}" for weight, other in zip(row, result.channels, strict=True))
        print(f"  {channel.name}: {weights}")
