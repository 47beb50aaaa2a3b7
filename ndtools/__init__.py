"""Network deconvolution: measure, remove and picture the correlations of images (Ye et al., ICLR 2020).

Public names are grouped by their use below. They are resolved on first use, so that importing the package loads neither
torch nor matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

_GROUPS: dict[str, dict[str, str | tuple[str, str]]] = {
    "layers": {  # layers for networks, in place of torch's
        "ChannelDeconv": "layers.channel",
        "DeconvConfig": "layers.config",
        "DeconvLinear": "layers.linear",
        "FastDeconv1d": "layers.conv",
        "FastDeconv2d": "layers.conv",
        "FastDeconv3d": "layers.conv",
        "FastDeconvTranspose1d": "layers.conv_transpose",
        "FastDeconvTranspose2d": "layers.conv_transpose",
        "FastDeconvTranspose3d": "layers.conv_transpose",
    },
    "networks": {  # whole networks: build, convert, inspect, fold, save
        "Audit": "surgery.audit",
        "AuditRow": "surgery.audit",
        "LayerSpec": "models.factories",
        "NetworkSpec": "models.spec",
        "Plan": "surgery.plan",
        "PlanEntry": "surgery.plan",
        "audit": "surgery.audit",
        "build": "models.catalogue",
        "convert": "surgery.convert",
        "fold": "surgery.fold",
        "load_network": "checkpoints.files",
        "recalibrate": "surgery.recalibrate",
        "save_network": "checkpoints.files",
    },
    "images": {  # images and data sets, their patches, covariances and kernels
        "Covariance": "numerics.covariance",
        "Dataset": "data.labelled.dataset",
        "Deconvolution": "numerics.deconvolution",
        "PatchCovariance": "numerics.patch_covariance",
        "RidgeChoice": "numerics.ridge",
        "Split": "data.labelled.dataset",
        "choose_ridge": "numerics.ridge",
        "dead_leaves": "data.images.synthetic",
        "fit_deconvolution": "numerics.deconvolution",
        "fit_difference_of_gaussians": "numerics.difference_of_gaussians",
        "frequency_response": "numerics.kernel_profiles",
        "glyphs": "data.labelled.glyphs",
        "im2col": "numerics.patches",
        "iter_images": "data.images.reading",
        "load_dataset": "data.labelled.datasets",
        "measure_center_surround": "numerics.center_surround",
        "opponency": "numerics.kernel_profiles",
        "radial_profile": "numerics.kernel_profiles",
    },
    "matrices": {  # inverse square roots of matrices, and the iterations towards them
        "CoupledChebyshev": "numerics.iterations",
        "CoupledNewtonSchulz": "numerics.iterations",
        "DenmanBeavers": "numerics.iterations",
        "Eigh": "numerics.inverse_sqrt",
        "GramNewtonSchulz": "numerics.iterations",
        "InverseSqrt": "numerics.inverse_sqrt",
        "TraceRecord": "numerics.stability",
        "VanillaNewtonSchulz": "numerics.iterations",
        "inverse_sqrt": "numerics.inverse_sqrt",
        "inverse_sqrt_trace": "numerics.stability",
        "predict_vanilla": "numerics.stability",
    },
    "experiments": {  # the figures and tables of the paper: configuration, run, result
        "CompareSetsConfig": "experiments.compare_sets.config",
        "CompareSetsResult": "experiments.compare_sets.result",
        "CovarianceConfig": "experiments.covariance.config",
        "CovarianceResult": "experiments.covariance.result",
        "DeblurConfig": "experiments.deblur.config",
        "DeblurResult": "experiments.deblur.result",
        "DeconvolveConfig": "experiments.deconvolve.config",
        "DeconvolveResult": "experiments.deconvolve.result",
        "KernelsConfig": "experiments.kernels.config",
        "KernelsResult": "experiments.kernels.result",
        "MlpConfig": "experiments.mlp.config",
        "MlpResult": "experiments.mlp.result",
        "NsStabilityConfig": "experiments.ns_stability.config",
        "NsStabilityResult": "experiments.ns_stability.result",
        "RegressConfig": "experiments.regress.config",
        "RegressResult": "experiments.regress.result",
        "Series": "results.series",
        "SparsityConfig": "experiments.sparsity.config",
        "SparsityResult": "experiments.sparsity.result",
        "TimingConfig": "experiments.timing.config",
        "TimingResult": "experiments.timing.result",
        "compare_sets": "experiments.compare_sets.run",
        "covariance": "experiments.covariance.run",
        "deblur": "experiments.deblur.run",
        "deconvolve": "experiments.deconvolve.run",
        "kernels": "experiments.kernels.run",
        "load": "experiments.saved",
        "load_result": ("experiments.saved", "load"),
        "mlp": "experiments.mlp.run",
        "ns_stability": "experiments.ns_stability.run",
        "regress": "experiments.regress.run",
        "run_compare_sets": ("experiments.compare_sets.run", "run"),
        "run_compare_sets_series": ("experiments.compare_sets.run", "run_series"),
        "run_covariance": ("experiments.covariance.run", "run"),
        "run_covariance_series": ("experiments.covariance.run", "run_series"),
        "run_deblur": ("experiments.deblur.run", "run"),
        "run_deconvolve": ("experiments.deconvolve.run", "run"),
        "run_deconvolve_series": ("experiments.deconvolve.run", "run_series"),
        "run_kernels": ("experiments.kernels.run", "run"),
        "run_kernels_series": ("experiments.kernels.run", "run_series"),
        "run_mlp": ("experiments.mlp.run", "run"),
        "run_ns_stability": ("experiments.ns_stability.run", "run"),
        "run_regress": ("experiments.regress.run", "run"),
        "run_sparsity": ("experiments.sparsity.run", "run"),
        "run_sparsity_series": ("experiments.sparsity.run", "run_series"),
        "run_timing": ("experiments.timing.run", "run"),
        "sparsity": "experiments.sparsity.run",
        "timing": "experiments.timing.run",
    },
    "figures": {  # pictures of results
        "plot_compare_sets": "experiments.compare_sets.figure",
        "plot_compare_sets_series": "experiments.compare_sets.figure_series",
        "plot_correlation": "experiments.covariance.figure",
        "plot_covariance": "experiments.covariance.figure",
        "plot_covariance_series": "experiments.covariance.figure_series",
        "plot_deblur": "experiments.deblur.figure",
        "plot_deconvolve": "experiments.deconvolve.figure",
        "plot_deconvolve_series": "experiments.deconvolve.figure_series",
        "plot_kernel_bootstrap": "experiments.kernels.figure_bootstrap",
        "plot_kernel_fit": "experiments.kernels.figure_fit",
        "plot_kernel_series": "experiments.kernels.figure_series",
        "plot_kernels": "experiments.kernels.figure",
        "plot_mlp": "experiments.mlp.figure",
        "plot_ns_gains": "experiments.ns_stability.figure_gains",
        "plot_ns_stability": "experiments.ns_stability.figure",
        "plot_precision_atlas": "experiments.ns_stability.figure_atlas",
        "plot_regress": "experiments.regress.figure",
        "plot_regress_kernels": "experiments.regress.figure_kernels",
        "plot_sparsity": "experiments.sparsity.figure",
        "plot_ridge": "drawing.ridge",
        "plot_sparsity_series": "experiments.sparsity.figure_series",
        "plot_spectrum": "drawing.spectrum",
        "plot_timing": "experiments.timing.figure",
    },
    "errors": {  # what can be raised
        "DataError": "errors",
        "MatrixError": "errors",
        "NdtoolsError": "errors",
        "NotConvergedError": "errors",
        "NotPositiveDefiniteError": "errors",
        "NumericalError": "errors",
        "NumericalWarning": "errors",
        "OptionError": "errors",
        "OutputError": "errors",
    },
}
_EXPORTS = {name: target for group in _GROUPS.values() for name, target in group.items()}

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
