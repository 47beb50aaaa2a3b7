# The public names as type checkers and editors see them; tests/test_api.py keeps this in step with __init__.py.
from ndtools.data.datasets import Dataset as Dataset
from ndtools.data.datasets import Split as Split
from ndtools.data.datasets import load_dataset as load_dataset
from ndtools.data.glyphs import glyphs as glyphs
from ndtools.data.images import iter_images as iter_images
from ndtools.data.synthetic import dead_leaves as dead_leaves
from ndtools.errors import DataError as DataError
from ndtools.errors import MatrixError as MatrixError
from ndtools.errors import NdtoolsError as NdtoolsError
from ndtools.errors import NotConvergedError as NotConvergedError
from ndtools.errors import NotPositiveDefiniteError as NotPositiveDefiniteError
from ndtools.errors import NumericalError as NumericalError
from ndtools.errors import NumericalWarning as NumericalWarning
from ndtools.errors import OptionError as OptionError
from ndtools.errors import OutputError as OutputError
from ndtools.experiments import covariance as _covariance
from ndtools.experiments import deblur as _deblur
from ndtools.experiments import deconvolve as _deconvolve
from ndtools.experiments import kernels as _kernels
from ndtools.experiments import mlp as _mlp
from ndtools.experiments import ns_stability as _ns_stability
from ndtools.experiments import regress as _regress
from ndtools.experiments import sparsity as _sparsity
from ndtools.experiments import timing as _timing
from ndtools.experiments.config import CovarianceConfig as CovarianceConfig
from ndtools.experiments.config import DeblurConfig as DeblurConfig
from ndtools.experiments.config import DeconvolveConfig as DeconvolveConfig
from ndtools.experiments.config import KernelsConfig as KernelsConfig
from ndtools.experiments.config import MlpConfig as MlpConfig
from ndtools.experiments.config import NsStabilityConfig as NsStabilityConfig
from ndtools.experiments.config import RegressConfig as RegressConfig
from ndtools.experiments.config import SparsityConfig as SparsityConfig
from ndtools.experiments.config import TimingConfig as TimingConfig
from ndtools.experiments.covariance import CovarianceResult as CovarianceResult
from ndtools.experiments.deblur import DeblurResult as DeblurResult
from ndtools.experiments.deconvolve import DeconvolveResult as DeconvolveResult
from ndtools.experiments.kernels import KernelsResult as KernelsResult
from ndtools.experiments.mlp import MlpResult as MlpResult
from ndtools.experiments.network_files import load_network as load_network
from ndtools.experiments.network_files import save_network as save_network
from ndtools.experiments.ns_stability import NsStabilityResult as NsStabilityResult
from ndtools.experiments.regress import RegressResult as RegressResult
from ndtools.experiments.sparsity import SparsityResult as SparsityResult
from ndtools.experiments.timing import TimingResult as TimingResult
from ndtools.layers.audit import Audit as Audit
from ndtools.layers.audit import AuditRow as AuditRow
from ndtools.layers.audit import audit as audit
from ndtools.layers.channel import ChannelDeconv as ChannelDeconv
from ndtools.layers.config import DeconvConfig as DeconvConfig
from ndtools.layers.conv import FastDeconv1d as FastDeconv1d
from ndtools.layers.conv import FastDeconv2d as FastDeconv2d
from ndtools.layers.conv import FastDeconv3d as FastDeconv3d
from ndtools.layers.convert import Plan as Plan
from ndtools.layers.convert import PlanEntry as PlanEntry
from ndtools.layers.convert import convert as convert
from ndtools.layers.fold import fold as fold
from ndtools.layers.linear import DeconvLinear as DeconvLinear
from ndtools.layers.recalibration import recalibrate as recalibrate
from ndtools.numerics.center_surround import fit_difference_of_gaussians as fit_difference_of_gaussians
from ndtools.numerics.covariance import Covariance as Covariance
from ndtools.numerics.covariance import PatchCovariance as PatchCovariance
from ndtools.numerics.deconvolution import Deconvolution as Deconvolution
from ndtools.numerics.deconvolution import fit_deconvolution as fit_deconvolution
from ndtools.numerics.inverse_sqrt import Eigh as Eigh
from ndtools.numerics.inverse_sqrt import InverseSqrt as InverseSqrt
from ndtools.numerics.inverse_sqrt import inverse_sqrt as inverse_sqrt
from ndtools.numerics.iterations import CoupledChebyshev as CoupledChebyshev
from ndtools.numerics.iterations import CoupledNewtonSchulz as CoupledNewtonSchulz
from ndtools.numerics.iterations import DenmanBeavers as DenmanBeavers
from ndtools.numerics.iterations import VanillaNewtonSchulz as VanillaNewtonSchulz
from ndtools.numerics.kernel_profiles import frequency_response as frequency_response
from ndtools.numerics.kernel_profiles import opponency as opponency
from ndtools.numerics.kernel_profiles import radial_profile as radial_profile
from ndtools.numerics.patches import im2col as im2col
from ndtools.numerics.stability import TraceRecord as TraceRecord
from ndtools.numerics.stability import inverse_sqrt_trace as inverse_sqrt_trace
from ndtools.numerics.stability import predict_vanilla as predict_vanilla
from ndtools.plotting.covariance import plot_covariance as plot_covariance
from ndtools.plotting.deblur import plot_deblur as plot_deblur
from ndtools.plotting.deconvolve import plot_deconvolve as plot_deconvolve
from ndtools.plotting.kernel_bootstrap import plot_kernel_bootstrap as plot_kernel_bootstrap
from ndtools.plotting.kernel_fit import plot_kernel_fit as plot_kernel_fit
from ndtools.plotting.kernels import plot_kernels as plot_kernels
from ndtools.plotting.mlp import plot_mlp as plot_mlp
from ndtools.plotting.ns_stability import plot_ns_stability as plot_ns_stability
from ndtools.plotting.precision_atlas import plot_precision_atlas as plot_precision_atlas
from ndtools.plotting.regress import plot_regress as plot_regress
from ndtools.plotting.sparsity import plot_sparsity as plot_sparsity
from ndtools.plotting.timing import plot_timing as plot_timing

__version__: str
run_covariance = _covariance.run
run_deblur = _deblur.run
run_deconvolve = _deconvolve.run
run_kernels = _kernels.run
run_mlp = _mlp.run
run_ns_stability = _ns_stability.run
run_regress = _regress.run
run_sparsity = _sparsity.run
run_timing = _timing.run
