# The public names as type checkers and editors see them; tests/test_api.py keeps this in step with __init__.py.
from ndtools.checkpoints.files import load_network as load_network
from ndtools.checkpoints.files import save_network as save_network
from ndtools.data.images.layouts import ArrayLayout as ArrayLayout
from ndtools.data.images.layouts import RawFormat as RawFormat
from ndtools.data.images.reading import iter_images as iter_images
from ndtools.data.images.storage import storage_options as storage_options
from ndtools.data.images.synthetic import dead_leaves as dead_leaves
from ndtools.data.labelled.dataset import Dataset as Dataset
from ndtools.data.labelled.dataset import Split as Split
from ndtools.data.labelled.datasets import load_dataset as load_dataset
from ndtools.data.labelled.glyphs import glyphs as glyphs
from ndtools.data.labelled.streamed import StreamedSet as StreamedSet
from ndtools.data.labelled.streamed import load_streamed as load_streamed
from ndtools.data.labelled.views import Crops as Crops
from ndtools.data.labelled.views import Scenes as Scenes
from ndtools.data.signals.synthetic import BaseCalls as BaseCalls
from ndtools.data.signals.synthetic import BlurredVolume as BlurredVolume
from ndtools.data.signals.synthetic import base_calls as base_calls
from ndtools.data.signals.synthetic import beads as beads
from ndtools.drawing.ridge import plot_ridge as plot_ridge
from ndtools.drawing.spectrum import plot_spectrum as plot_spectrum
from ndtools.errors import DataError as DataError
from ndtools.errors import MatrixError as MatrixError
from ndtools.errors import NdtoolsError as NdtoolsError
from ndtools.errors import NotConvergedError as NotConvergedError
from ndtools.errors import NotPositiveDefiniteError as NotPositiveDefiniteError
from ndtools.errors import NumericalError as NumericalError
from ndtools.errors import NumericalWarning as NumericalWarning
from ndtools.errors import OptionError as OptionError
from ndtools.errors import OutputError as OutputError
from ndtools.errors import TrainingDiverged as TrainingDiverged
from ndtools.errors import UnreachableError as UnreachableError
from ndtools.experiments.check.config import CheckConfig as CheckConfig
from ndtools.experiments.check.figure import plot_check as plot_check
from ndtools.experiments.check.result import CheckResult as CheckResult
from ndtools.experiments.check.run import check as check
from ndtools.experiments.check.run import run as _run_check
from ndtools.experiments.compare.config import CompareConfig as CompareConfig
from ndtools.experiments.compare.figure import plot_compare as plot_compare
from ndtools.experiments.compare.result import CompareResult as CompareResult
from ndtools.experiments.compare.run import compare as compare
from ndtools.experiments.compare.run import run as _run_compare
from ndtools.experiments.compare_sets.config import CompareSetsConfig as CompareSetsConfig
from ndtools.experiments.compare_sets.figure import plot_compare_sets as plot_compare_sets
from ndtools.experiments.compare_sets.figure_series import plot_compare_sets_series as plot_compare_sets_series
from ndtools.experiments.compare_sets.result import CompareSetsResult as CompareSetsResult
from ndtools.experiments.compare_sets.run import compare_sets as compare_sets
from ndtools.experiments.compare_sets.run import run as _run_compare_sets
from ndtools.experiments.compare_sets.run import run_series as _run_compare_sets_series
from ndtools.experiments.covariance.config import CovarianceConfig as CovarianceConfig
from ndtools.experiments.covariance.figure import plot_correlation as plot_correlation
from ndtools.experiments.covariance.figure import plot_covariance as plot_covariance
from ndtools.experiments.covariance.figure_series import plot_covariance_series as plot_covariance_series
from ndtools.experiments.covariance.result import CovarianceResult as CovarianceResult
from ndtools.experiments.covariance.run import covariance as covariance
from ndtools.experiments.covariance.run import run as _run_covariance
from ndtools.experiments.covariance.run import run_series as _run_covariance_series
from ndtools.experiments.deblur.config import DeblurConfig as DeblurConfig
from ndtools.experiments.deblur.figure import plot_deblur as plot_deblur
from ndtools.experiments.deblur.result import DeblurResult as DeblurResult
from ndtools.experiments.deblur.run import deblur as deblur
from ndtools.experiments.deblur.run import run as _run_deblur
from ndtools.experiments.deconvolve.config import DeconvolveConfig as DeconvolveConfig
from ndtools.experiments.deconvolve.figure import plot_deconvolve as plot_deconvolve
from ndtools.experiments.deconvolve.figure_series import plot_deconvolve_series as plot_deconvolve_series
from ndtools.experiments.deconvolve.result import DeconvolveResult as DeconvolveResult
from ndtools.experiments.deconvolve.run import deconvolve as deconvolve
from ndtools.experiments.deconvolve.run import run as _run_deconvolve
from ndtools.experiments.deconvolve.run import run_series as _run_deconvolve_series
from ndtools.experiments.deconvolve.set_figure import plot_deconvolved_set as plot_deconvolved_set
from ndtools.experiments.deconvolve.set_result import DeconvolvedSet as DeconvolvedSet
from ndtools.experiments.deconvolve.set_run import deconvolve_images as deconvolve_images
from ndtools.experiments.features.config import FeaturesConfig as FeaturesConfig
from ndtools.experiments.features.figure import plot_features as plot_features
from ndtools.experiments.features.result import FeaturesResult as FeaturesResult
from ndtools.experiments.features.run import features as features
from ndtools.experiments.features.run import run as _run_features
from ndtools.experiments.inference.config import InferenceConfig as InferenceConfig
from ndtools.experiments.inference.figure import plot_inference as plot_inference
from ndtools.experiments.inference.result import InferenceResult as InferenceResult
from ndtools.experiments.inference.run import inference as inference
from ndtools.experiments.inference.run import run as _run_inference
from ndtools.experiments.kernels.config import KernelsConfig as KernelsConfig
from ndtools.experiments.kernels.figure import plot_kernels as plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import plot_kernel_bootstrap as plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_fit import plot_kernel_fit as plot_kernel_fit
from ndtools.experiments.kernels.figure_series import plot_kernel_series as plot_kernel_series
from ndtools.experiments.kernels.result import KernelsResult as KernelsResult
from ndtools.experiments.kernels.run import kernels as kernels
from ndtools.experiments.kernels.run import run as _run_kernels
from ndtools.experiments.kernels.run import run_series as _run_kernels_series
from ndtools.experiments.mlp.config import MlpConfig as MlpConfig
from ndtools.experiments.mlp.figure import plot_mlp as plot_mlp
from ndtools.experiments.mlp.result import MlpResult as MlpResult
from ndtools.experiments.mlp.run import mlp as mlp
from ndtools.experiments.mlp.run import run as _run_mlp
from ndtools.experiments.ns_stability.config import NsStabilityConfig as NsStabilityConfig
from ndtools.experiments.ns_stability.figure import plot_ns_stability as plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import plot_precision_atlas as plot_precision_atlas
from ndtools.experiments.ns_stability.figure_gains import plot_ns_gains as plot_ns_gains
from ndtools.experiments.ns_stability.result import NsStabilityResult as NsStabilityResult
from ndtools.experiments.ns_stability.run import ns_stability as ns_stability
from ndtools.experiments.ns_stability.run import run as _run_ns_stability
from ndtools.experiments.regress.config import RegressConfig as RegressConfig
from ndtools.experiments.regress.figure import plot_regress as plot_regress
from ndtools.experiments.regress.figure_kernels import plot_regress_kernels as plot_regress_kernels
from ndtools.experiments.regress.result import RegressResult as RegressResult
from ndtools.experiments.regress.run import regress as regress
from ndtools.experiments.regress.run import run as _run_regress
from ndtools.experiments.saved import load as load
from ndtools.experiments.segment.config import SegmentConfig as SegmentConfig
from ndtools.experiments.signals.config import SignalsConfig as SignalsConfig
from ndtools.experiments.signals.figure import plot_signals as plot_signals
from ndtools.experiments.signals.result import SignalsResult as SignalsResult
from ndtools.experiments.signals.run import run as _run_signals
from ndtools.experiments.signals.run import signals as signals
from ndtools.experiments.sparsity.config import SparsityConfig as SparsityConfig
from ndtools.experiments.sparsity.figure import plot_sparsity as plot_sparsity
from ndtools.experiments.sparsity.figure_series import plot_sparsity_series as plot_sparsity_series
from ndtools.experiments.sparsity.result import SparsityResult as SparsityResult
from ndtools.experiments.sparsity.run import run as _run_sparsity
from ndtools.experiments.sparsity.run import run_series as _run_sparsity_series
from ndtools.experiments.sparsity.run import sparsity as sparsity
from ndtools.experiments.stats.config import StatsConfig as StatsConfig
from ndtools.experiments.stats.figure import plot_stats as plot_stats
from ndtools.experiments.stats.result import StatsResult as StatsResult
from ndtools.experiments.stats.run import run as _run_stats
from ndtools.experiments.stats.run import stats as stats
from ndtools.experiments.timing.config import TimingConfig as TimingConfig
from ndtools.experiments.timing.figure import plot_timing as plot_timing
from ndtools.experiments.timing.result import TimingResult as TimingResult
from ndtools.experiments.timing.run import run as _run_timing
from ndtools.experiments.timing.run import timing as timing
from ndtools.experiments.train.config import TrainConfig as TrainConfig
from ndtools.layers.channel import ChannelDeconv as ChannelDeconv
from ndtools.layers.config import DeconvConfig as DeconvConfig
from ndtools.layers.conv import FastDeconv1d as FastDeconv1d
from ndtools.layers.conv import FastDeconv2d as FastDeconv2d
from ndtools.layers.conv import FastDeconv3d as FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d as FastDeconvTranspose1d
from ndtools.layers.conv_transpose import FastDeconvTranspose2d as FastDeconvTranspose2d
from ndtools.layers.conv_transpose import FastDeconvTranspose3d as FastDeconvTranspose3d
from ndtools.layers.iternorm import IterNorm as IterNorm
from ndtools.layers.linear import DeconvLinear as DeconvLinear
from ndtools.models.catalogue import build as build
from ndtools.models.factories import LayerSpec as LayerSpec
from ndtools.models.spec import NetworkSpec as NetworkSpec
from ndtools.moments.files import Moments as Moments
from ndtools.moments.source import moments as moments
from ndtools.numerics.center_surround import measure_center_surround as measure_center_surround
from ndtools.numerics.covariance import Covariance as Covariance
from ndtools.numerics.deconvolution import Deconvolution as Deconvolution
from ndtools.numerics.deconvolution import fit_deconvolution as fit_deconvolution
from ndtools.numerics.difference_of_gaussians import fit_difference_of_gaussians as fit_difference_of_gaussians
from ndtools.numerics.inverse_sqrt import Eigh as Eigh
from ndtools.numerics.inverse_sqrt import InverseSqrt as InverseSqrt
from ndtools.numerics.inverse_sqrt import inverse_sqrt as inverse_sqrt
from ndtools.numerics.iterations import CoupledChebyshev as CoupledChebyshev
from ndtools.numerics.iterations import CoupledNewtonSchulz as CoupledNewtonSchulz
from ndtools.numerics.iterations import DenmanBeavers as DenmanBeavers
from ndtools.numerics.iterations import GramNewtonSchulz as GramNewtonSchulz
from ndtools.numerics.iterations import VanillaNewtonSchulz as VanillaNewtonSchulz
from ndtools.numerics.kernel_profiles import frequency_response as frequency_response
from ndtools.numerics.kernel_profiles import opponency as opponency
from ndtools.numerics.kernel_profiles import radial_profile as radial_profile
from ndtools.numerics.patch_covariance import PatchCovariance as PatchCovariance
from ndtools.numerics.patches import im2col as im2col
from ndtools.numerics.ridge import RidgeChoice as RidgeChoice
from ndtools.numerics.ridge import choose_ridge as choose_ridge
from ndtools.numerics.stability import TraceRecord as TraceRecord
from ndtools.numerics.stability import inverse_sqrt_trace as inverse_sqrt_trace
from ndtools.numerics.stability import predict_vanilla as predict_vanilla
from ndtools.report.run import Report as Report
from ndtools.report.run import write_report as write_report
from ndtools.reproduction.library import reproduce as reproduce
from ndtools.reproduction.state import ItemState as ItemState
from ndtools.results.reproductions import Grade as Grade
from ndtools.results.runs import Run as Run
from ndtools.results.runs import read_run as read_run
from ndtools.results.series import Series as Series
from ndtools.runs.figure import plot_train as plot_train
from ndtools.runs.run import run as _run_train
from ndtools.surgery.audit import audit as audit
from ndtools.surgery.convert import convert as convert
from ndtools.surgery.findings import Audit as Audit
from ndtools.surgery.findings import AuditRow as AuditRow
from ndtools.surgery.fold import fold as fold
from ndtools.surgery.plan import Plan as Plan
from ndtools.surgery.plan import PlanEntry as PlanEntry
from ndtools.surgery.recalibrate import recalibrate as recalibrate
from ndtools.training.data import TrainingData as TrainingData
from ndtools.training.loop import Training as Training
from ndtools.training.recipe import Recipe as Recipe
from ndtools.training.records import EpochRecord as EpochRecord
from ndtools.training.records import StepRecord as StepRecord
from ndtools.training.segmentation import Segmentation as Segmentation
from ndtools.training.state import TrainingState as TrainingState
from ndtools.training.streams import StreamedData as StreamedData
from ndtools.training.tasks import Classification as Classification
from ndtools.transforms.whiten import Whiten as Whiten
from ndtools.transforms.zca import ZCA as ZCA

__version__: str
load_result = load
run_check = _run_check
run_compare = _run_compare
run_compare_sets = _run_compare_sets
run_compare_sets_series = _run_compare_sets_series
run_covariance = _run_covariance
run_covariance_series = _run_covariance_series
run_deblur = _run_deblur
run_deconvolve = _run_deconvolve
run_deconvolve_series = _run_deconvolve_series
run_features = _run_features
run_kernels = _run_kernels
run_kernels_series = _run_kernels_series
run_mlp = _run_mlp
run_ns_stability = _run_ns_stability
run_regress = _run_regress
run_signals = _run_signals
run_sparsity = _run_sparsity
run_sparsity_series = _run_sparsity_series
run_inference = _run_inference
run_stats = _run_stats
run_timing = _run_timing
run_train = _run_train
