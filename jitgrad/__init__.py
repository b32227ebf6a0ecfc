"""jitgrad: tape-based automatic differentiation for small models on a CPU, with PyTorch's front.

``import jitgrad as torch`` runs ordinary PyTorch scripts within scope. Importing compiles nothing: kernels are
compiled when they are first used, once per machine.
"""

from . import _source  # first: in a source tree it tells Python where jitgrad.kernels lies
from . import autograd, cuda, func, functions, nn, optim, models, serialization, utils
from ._tensor import Tensor
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .custom import op
from .dtypes import (
    Size,
    bool_,
    device,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from .functions import *
from .model_summary import summary
from .printing import set_printoptions
from .program import compile
from .serialization import load, save
from .show import show_tape
from .subnormal import set_flush_denormal
from .threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

bool = bool_
float = float32
double = float64
int = int32
long = int64
FloatTensor = Tensor
is_tensor = lambda value: isinstance(value, Tensor)  # noqa: E731


def __getattr__(name: str):
    """Bring in what few programs use when they first do."""
    if name == "viz":
        import importlib

        return importlib.import_module("jitgrad.viz")
    raise AttributeError(
        f"module 'jitgrad' has no attribute '{name}'; jitgrad has PyTorch's names for what it can do"
    )
