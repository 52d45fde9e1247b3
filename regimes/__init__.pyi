from . import equivalents as equivalents
from . import estimate as estimate
from . import factor as factor
from . import kernels as kernels
from . import plots as plots
from . import results as results
from . import ridge as ridge
from . import spectra as spectra
from . import spectrum as spectrum
from . import tasks as tasks
from . import theory as theory
from . import verify as verify
from .results import Comparison as Comparison
from .results import Estimate as Estimate
from .results import LearningCurve as LearningCurve
from .spectrum import Spectrum as Spectrum
from .theory import Exponents as Exponents
from .theory import exponents as exponents
from .theory import predict_curve as predict_curve
from .theory import ridgeless_split as ridgeless_split
from .verify import four_regimes as four_regimes

__version__: str
