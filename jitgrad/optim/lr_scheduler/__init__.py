"""Learning-rate schedules. A schedule is stepped after the optimizer, as a rule once in each epoch.

>>> scheduler = CosineAnnealingLR(optimizer, T_max=20)   # doctest: +SKIP
"""

from ._base import LRScheduler as LRScheduler
from ._combine import ChainedScheduler as ChainedScheduler
from ._combine import SequentialLR as SequentialLR
from ._cosine import CosineAnnealingLR as CosineAnnealingLR
from ._cosine import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from ._cyclic import CyclicLR as CyclicLR
from ._decay import ConstantLR as ConstantLR
from ._decay import ExponentialLR as ExponentialLR
from ._decay import LambdaLR as LambdaLR
from ._decay import LinearLR as LinearLR
from ._decay import MultiplicativeLR as MultiplicativeLR
from ._decay import MultiStepLR as MultiStepLR
from ._decay import PolynomialLR as PolynomialLR
from ._decay import StepLR as StepLR
from ._one_cycle import OneCycleLR as OneCycleLR
from ._plateau import ReduceLROnPlateau as ReduceLROnPlateau

_LRScheduler = LRScheduler  # the name older scripts test with

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
