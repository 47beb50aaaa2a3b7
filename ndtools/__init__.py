"""Network deconvolution: measure, remove and picture the correlations of images (Ye et al., ICLR 2020).

Public names are resolved on first use, so that importing the package loads neither torch nor matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "Audit": "surgery.audit",
    "AuditRow": "surgery.audit",
    "ChannelDeconv": "layers.channel",
    "CoupledChebyshev": "numerics.iterations",
    "CoupledNewtonSchulz": "numerics.iterations",
    "Covariance": "numerics.covariance",
    "CovarianceConfig": "experiments.covariance.config",
    "CovarianceResult": "experiments.covariance.result",
    "DataError": "errors",
    "Dataset": "data.labelled.dataset",
    "DeblurConfig": "experiments.deblur.config",
    "DeblurResult": "experiments.deblur.result",
    "DeconvConfig": "layers.config",
    "DeconvLinear": "layers.linear",
    "Deconvolution": "numerics.deconvolution",
    "DeconvolveConfig": "experiments.deconvolve.config",
    "DeconvolveResult": "experiments.deconvolve.result",
    "DenmanBeavers": "numerics.iterations",
    "Eigh": "numerics.inverse_sqrt",
    "FastDeconv1d": "layers.conv",
    "FastDeconv2d": "layers.conv",
    "FastDeconv3d": "layers.conv",
    "FastDeconvTranspose1d": "layers.conv_transpose",
    "FastDeconvTranspose2d": "layers.conv_transpose",
    "FastDeconvTranspose3d": "layers.conv_transpose",
    "InverseSqrt": "numerics.inverse_sqrt",
    "KernelsConfig": "experiments.kernels.config",
    "KernelsResult": "experiments.kernels.result",
    "MatrixError": "errors",
    "MlpConfig": "experiments.mlp.config",
    "MlpResult": "experiments.mlp.result",
    "NdtoolsError": "errors",
    "NotConvergedError": "errors",
    "NotPositiveDefiniteError": "errors",
    "NsStabilityConfig": "experiments.ns_stability.config",
    "NsStabilityResult": "experiments.ns_stability.result",
    "NumericalError": "errors",
    "NumericalWarning": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "PatchCovariance": "numerics.covariance",
    "Plan": "surgery.convert",
    "PlanEntry": "surgery.convert",
    "RegressConfig": "experiments.regress.config",
    "RegressResult": "experiments.regress.result",
    "SparsityConfig": "experiments.sparsity.config",
    "SparsityResult": "experiments.sparsity.result",
    "Split": "data.labelled.dataset",
    "TimingConfig": "experiments.timing.config",
    "TimingResult": "experiments.timing.result",
    "TraceRecord": "numerics.stability",
    "VanillaNewtonSchulz": "numerics.iterations",
    "audit": "surgery.audit",
    "convert": "surgery.convert",
    "dead_leaves": "data.images.synthetic",
    "fit_deconvolution": "numerics.deconvolution",
    "fit_difference_of_gaussians": "numerics.center_surround",
    "fold": "surgery.fold",
    "frequency_response": "numerics.kernel_profiles",
    "glyphs": "data.labelled.glyphs",
    "im2col": "numerics.patches",
    "inverse_sqrt": "numerics.inverse_sqrt",
    "inverse_sqrt_trace": "numerics.stability",
    "iter_images": "data.images.reading",
    "load_dataset": "data.labelled.datasets",
    "load_network": "checkpoints.files",
    "load_result": "experiments.saved",
    "opponency": "numerics.kernel_profiles",
    "plot_covariance": "experiments.covariance.figure",
    "plot_deblur": "experiments.deblur.figure",
    "plot_deconvolve": "experiments.deconvolve.figure",
    "plot_kernel_bootstrap": "experiments.kernels.figure_bootstrap",
    "plot_kernel_fit": "experiments.kernels.figure_fit",
    "plot_kernels": "experiments.kernels.figure",
    "plot_mlp": "experiments.mlp.figure",
    "plot_ns_stability": "experiments.ns_stability.figure",
    "plot_precision_atlas": "experiments.ns_stability.figure_atlas",
    "plot_regress": "experiments.regress.figure",
    "plot_sparsity": "experiments.sparsity.figure",
    "plot_timing": "experiments.timing.figure",
    "predict_vanilla": "numerics.stability",
    "radial_profile": "numerics.kernel_profiles",
    "recalibrate": "surgery.recalibrate",
    "run_covariance": ("experiments.covariance.run", "run"),
    "run_deblur": ("experiments.deblur.run", "run"),
    "run_deconvolve": ("experiments.deconvolve.run", "run"),
    "run_kernels": ("experiments.kernels.run", "run"),
    "run_mlp": ("experiments.mlp.run", "run"),
    "run_ns_stability": ("experiments.ns_stability.run", "run"),
    "run_regress": ("experiments.regress.run", "run"),
    "run_sparsity": ("experiments.sparsity.run", "run"),
    "run_timing": ("experiments.timing.run", "run"),
    "save_network": "checkpoints.files",
}

__all__ = sorted(["__version__", *_EXPORTS])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ndtools' has no attribute {name!r}")
    target = _EXPORTS[name]
    module, attribute = (target, name) if isinstance(target, str) else target
    value = getattr(import_module(f"ndtools.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
