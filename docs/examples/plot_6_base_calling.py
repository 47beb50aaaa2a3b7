"""
Base calling
============

In sequencing by synthesis, each cycle adds one base to the molecules of a cluster, and the colour of its dye is seen in
four channels. The channels overlap, and some molecules are behind or ahead, so that a cycle also shows the bases before
and after. The run in this example is synthetic, so the true bases are known.
"""

import ndtools as nd

run = nd.base_calls()
print(run.signals.shape, "reads, channels, cycles")

# %%
# The covariance of patches of 7 cycles and 4 channels gives kernels that undo both. Kernels of one cycle undo the
# overlap of the channels alone.

result = nd.signals("base-calls", kernel_size=7)
figure = nd.plot_signals(result)

# %%
# A base is called by the channel with the largest value. Subtracting each channel's mean and dividing by its standard
# deviation is what one would do without deconvolution. All rates are of the same cycles.

mean, deviation = run.signals.mean((0, 2), keepdims=True), run.signals.std((0, 2), keepdims=True)
stages = {"intensities": run.signals, "standardised": (run.signals - mean) / deviation}
for cycles in (1, 3, 7):
    fit = nd.fit_deconvolution(run.signals, kernel_size=(cycles,), eps=1e-3, relative=True)
    stages[f"deconvolved, {cycles} cycle{'s' if cycles > 1 else ''}"] = fit.apply(run.signals).numpy()
for name, signals in stages.items():
    print(f"{name}: {run.error_rate(signals, margin=3):.2%} of the bases are wrong")
