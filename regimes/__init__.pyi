from regimes import equivalents as equivalents
from regimes import estimate as estimate
from regimes import factor as factor
from regimes import kernels as kernels
from regimes import plots as plots
from regimes import results as results
from regimes import ridge as ridge
from regimes import spectra as spectra
from regimes import tasks as tasks
from regimes import theory as theory
from regimes import verify as verify
from regimes.results import Comparison as Comparison
from regimes.results import Estimate as Estimate
from regimes.results import LearningCurve as LearningCurve
from regimes.results import Status as Status
from regimes.spectra import Spectrum as Spectrum
from regimes.theory import Exponents as Exponents
from regimes.theory import exponents as exponents
from regimes.theory import predict_curve as predict_curve
from regimes.theory import ridgeless_split as ridgeless_split
from regimes.verify import four_regimes as four_regimes

__version__: str
