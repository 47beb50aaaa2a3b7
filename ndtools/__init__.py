"""Network deconvolution: measure, remove and picture the correlations of images (Ye et al., ICLR 2020).

Public names are resolved on first use, so that importing the package loads neither torch nor matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "Audit": "layers.audit",
    "AuditRow": "layers.audit",
    "ChannelDeconv": "layers.channel",
    "CoupledChebyshev": "numerics.iterations",
    "CoupledNewtonSchulz": "numerics.iterations",
    "Covariance": "numerics.covariance",
    "CovarianceConfig": "experiments.config",
    "CovarianceResult": "experiments.covariance",
    "DataError": "errors",
    "Dataset": "data.datasets",
    "DeblurConfig": "experiments.config",
    "DeblurResult": "experiments.deblur",
    "DeconvConfig": "layers.config",
    "DeconvLinear": "layers.linear",
    "Deconvolution": "numerics.deconvolution",
    "DeconvolveConfig": "experiments.config",
    "DeconvolveResult": "experiments.deconvolve",
    "DenmanBeavers": "numerics.iterations",
    "Eigh": "numerics.inverse_sqrt",
    "FastDeconv1d": "layers.conv",
    "FastDeconv2d": "layers.conv",
    "FastDeconv3d": "layers.conv",
    "InverseSqrt": "numerics.inverse_sqrt",
    "KernelsConfig": "experiments.config",
    "KernelsResult": "experiments.kernels",
    "MatrixError": "errors",
    "MlpConfig": "experiments.config",
    "MlpResult": "experiments.mlp",
    "NdtoolsError": "errors",
    "NotConvergedError": "errors",
    "NotPositiveDefiniteError": "errors",
    "NsStabilityConfig": "experiments.config",
    "NsStabilityResult": "experiments.ns_stability",
    "NumericalError": "errors",
    "NumericalWarning": "errors",
    "OptionError": "errors",
    "OutputError": "errors",
    "PatchCovariance": "numerics.covariance",
    "Plan": "layers.convert",
    "PlanEntry": "layers.convert",
    "RegressConfig": "experiments.config",
    "RegressResult": "experiments.regress",
    "SparsityConfig": "experiments.config",
    "SparsityResult": "experiments.sparsity",
    "Split": "data.datasets",
    "TimingConfig": "experiments.config",
    "TimingResult": "experiments.timing",
    "TraceRecord": "numerics.stability",
    "VanillaNewtonSchulz": "numerics.iterations",
    "audit": "layers.audit",
    "convert": "layers.convert",
    "dead_leaves": "data.synthetic",
    "fit_deconvolution": "numerics.deconvolution",
    "fit_difference_of_gaussians": "numerics.center_surround",
    "fold": "layers.fold",
    "frequency_response": "numerics.kernel_profiles",
    "glyphs": "data.glyphs",
    "im2col": "numerics.patches",
    "inverse_sqrt": "numerics.inverse_sqrt",
    "inverse_sqrt_trace": "numerics.stability",
    "iter_images": "data.images",
    "load_dataset": "data.datasets",
    "load_network": "experiments.network_files",
    "opponency": "numerics.kernel_profiles",
    "plot_covariance": "plotting.covariance",
    "plot_deblur": "plotting.deblur",
    "plot_deconvolve": "plotting.deconvolve",
    "plot_kernel_bootstrap": "plotting.kernel_bootstrap",
    "plot_kernel_fit": "plotting.kernel_fit",
    "plot_kernels": "plotting.kernels",
    "plot_mlp": "plotting.mlp",
    "plot_ns_stability": "plotting.ns_stability",
    "plot_precision_atlas": "plotting.precision_atlas",
    "plot_regress": "plotting.regress",
    "plot_sparsity": "plotting.sparsity",
    "plot_timing": "plotting.timing",
    "predict_vanilla": "numerics.stability",
    "radial_profile": "numerics.kernel_profiles",
    "recalibrate": "layers.recalibration",
    "run_covariance": ("experiments.covariance", "run"),
    "run_deblur": ("experiments.deblur", "run"),
    "run_deconvolve": ("experiments.deconvolve", "run"),
    "run_kernels": ("experiments.kernels", "run"),
    "run_mlp": ("experiments.mlp", "run"),
    "run_ns_stability": ("experiments.ns_stability", "run"),
    "run_regress": ("experiments.regress", "run"),
    "run_sparsity": ("experiments.sparsity", "run"),
    "run_timing": ("experiments.timing", "run"),
    "save_network": "experiments.network_files",
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
