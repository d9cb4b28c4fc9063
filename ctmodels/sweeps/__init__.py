"""Many trainings at once: seeds and hyper-parameters side by side, the worst of them stopped early."""

from ctmodels.sweeps._result import Sweep as Sweep
from ctmodels.sweeps._sweep import sweep as sweep
