"""jitgrad: tape-based automatic differentiation for small models on a CPU, with PyTorch's front.

``import jitgrad as torch`` runs ordinary PyTorch scripts within scope. Importing compiles nothing: kernels are
compiled when they are first used, once per machine.
"""

from . import _source  # first: in a source tree it tells Python where jitgrad.kernels lies
from . import autograd, cuda, func, functions, nn, optim, models, serialization, utils
from typing import TYPE_CHECKING
from math import e as e, inf as inf, nan as nan, pi as pi
from ._tensor import Tensor as Tensor
from .autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from .custom import op as op
from .dtypes import (
    ABSENT as _ABSENT,
    Size as Size,
    bool_ as bool_,
    device as device,
    dtype as dtype,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    int32 as int32,
    int64 as int64,
    promote_types as promote_types,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
)
from .functions import *
from .func import vmap as vmap
from .layouts import layout as layout, memory_format as memory_format
from .limits import finfo as finfo, iinfo as iinfo
from .model_summary import summary as summary
from .nn.functional import (
    bilinear as bilinear,
    cosine_similarity as cosine_similarity,
    hardshrink as hardshrink,
    pairwise_distance as pairwise_distance,
    pdist as pdist,
)
from .printing import set_printoptions as set_printoptions
from .program import compile as compile
from .serialization import load as load, save as save
from .show import show_tape as show_tape
from .subnormal import set_flush_denormal as set_flush_denormal
from .threads import (
    get_num_interop_threads as get_num_interop_threads,
    get_num_threads as get_num_threads,
    set_num_interop_threads as set_num_interop_threads,
    set_num_threads as set_num_threads,
)

if TYPE_CHECKING:
    from . import random as random, special as special
else:  # the functions' own modules have the same names
    import jitgrad.random as random
    import jitgrad.special as special

__version__ = "0.1.0"

bool = bool_
float = float32
double = float64
int = int32
long = int64
newaxis = None
strided = layout.strided
contiguous_format = legacy_contiguous_format = memory_format.contiguous_format  # the second by an older name
preserve_format = memory_format.preserve_format
channels_last, channels_last_3d = memory_format.channels_last, memory_format.channels_last_3d


def is_tensor(obj):
    """Whether something is a tensor."""
    return isinstance(obj, Tensor)


# what few programs use, and in which module it is
_LATER = {
    name: name
    for name in """__config__ accelerator amp backends compiler distributed distributions fx jit linalg onnx
    testing version viz""".split()  # noqa: SIM905
}
_LATER |= dict.fromkeys(["GradScaler", "autocast", "is_autocast_enabled"], "amp")
_LATER |= dict.fromkeys(["are_deterministic_algorithms_enabled", "get_float32_matmul_precision",
                         "set_float32_matmul_precision", "use_deterministic_algorithms"], "backends")  # fmt: skip
_LATER |= dict.fromkeys(
    [
        "cholesky",
        "cholesky_inverse",
        "cholesky_solve",
        "det",
        "inverse",
        "logdet",
        "matrix_exp",
        "pinverse",
        "slogdet",
    ],
    "linalg",
)
_LATER |= dict.fromkeys(["pca_lowrank", "svd_lowrank"], "linalg._low_rank")
_LATER |= dict.fromkeys(
    ["frobenius_norm", "lu", "lu_solve", "lu_unpack", "nuclear_norm", "triangular_solve"], "linalg._older"
)
_LATER |= {f"{kind}Tensor": "typed" for kind in ("Float", "Double", "Int", "Long", "Byte", "Bool")}
_LATER |= dict.fromkeys(["get_default_device", "set_default_device"], "backends")
_LATER["set_default_tensor_type"] = "typed"


if TYPE_CHECKING:  # what comes in later, for type checkers
    from . import (
        __config__ as __config__,
        accelerator as accelerator,
        amp as amp,
        backends as backends,
        compiler as compiler,
        distributed as distributed,
        distributions as distributions,
        fx as fx,
        jit as jit,
        linalg as linalg,
        onnx as onnx,
        testing as testing,
        version as version,
        viz as viz,
    )
    from .amp import (
        GradScaler as GradScaler,
        autocast as autocast,
        is_autocast_enabled as is_autocast_enabled,
    )
    from .linalg import (
        cholesky as cholesky,
        det as det,
        slogdet as slogdet,
        matrix_exp as matrix_exp,
    )
    from .typed import FloatTensor as FloatTensor, LongTensor as LongTensor


# methods that PyTorch has as functions, too: torch.exp_(x) is x.exp_()
_IN_PLACE = frozenset(
    """abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_
    clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_
    frac_ index_put_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ round_
    rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_""".split()  # noqa: SIM905
)


def __getattr__(name: str):
    """Bring in what few programs use when they first do."""
    if name in _IN_PLACE:
        return getattr(Tensor, name)
    if name in _ABSENT:
        return _ABSENT[name]
    if name in layout.__members__:
        return layout[name]
    if name.startswith("_foreach_"):
        from .foreach import function

        return function(name)
    if name in _LATER:
        import importlib

        module = importlib.import_module(f"jitgrad.{_LATER[name]}")
        return module if name == _LATER[name] else getattr(module, name)
    raise AttributeError(
        f"module 'jitgrad' has no attribute '{name}'; jitgrad has PyTorch's names for what it can do"
    )
