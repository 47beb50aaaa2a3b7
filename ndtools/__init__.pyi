# The public names as type checkers and editors see them; tests/test_api.py keeps this in step with __init__.py.
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
from ndtools.experiments import kernels as _kernels
from ndtools.experiments.config import KernelsConfig as KernelsConfig
from ndtools.experiments.kernels import KernelsResult as KernelsResult
from ndtools.numerics.covariance import Covariance as Covariance
from ndtools.numerics.covariance import PatchCovariance as PatchCovariance
from ndtools.numerics.deconvolution import Deconvolution as Deconvolution
from ndtools.numerics.deconvolution import fit_deconvolution as fit_deconvolution
from ndtools.numerics.inverse_sqrt import Eigh as Eigh
from ndtools.numerics.inverse_sqrt import InverseSqrt as InverseSqrt
from ndtools.numerics.inverse_sqrt import inverse_sqrt as inverse_sqrt
from ndtools.numerics.iterations import CoupledNewtonSchulz as CoupledNewtonSchulz
from ndtools.numerics.iterations import VanillaNewtonSchulz as VanillaNewtonSchulz
from ndtools.numerics.patches import im2col as im2col
from ndtools.plotting.kernels import plot_kernels as plot_kernels

__version__: str

run_kernels = _kernels.run
