"""Operands for the tests of the op table: values from an operation's samples, in every layout of memory."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from special_references import SPECIAL

import jitgrad as torch
from jitgrad.kernels import abi
from jitgrad.kernels.table import SAME, Op

DTYPES = {
    abi.BOOL: torch.bool,
    abi.UINT8: torch.uint8,
    abi.INT32: torch.int32,
    abi.INT64: torch.int64,
    abi.FLOAT32: torch.float32,
    abi.FLOAT64: torch.float64,
}
NAMES = abi.DTYPE_NAMES
FLOATS = (abi.FLOAT32, abi.FLOAT64)


def generator(*names: object) -> np.random.Generator:
    """Random values that are the same in every run, and others for every name."""
    return np.random.default_rng(zlib.crc32(repr(names).encode()))


def attributes_of(op: Op) -> list[float]:
    return [float(op.samples.get(name, 0.5)) for name in op.attributes]


def codes_of(op: Op, dtype: int) -> list[int]:
    """Dtype code of every operand when the main one has `dtype`."""
    return [dtype if code == SAME else code for code in op.operand_dtypes]


def sample(op: Op, operand: str, code: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values for one operand, from its domain."""
    domain = op.samples.get(operand, {})
    if code == abi.BOOL:
        return rng.random(shape) < 0.5
    if code not in FLOATS:
        whole = rng.integers(0 if code == abi.UINT8 else -4, 6, shape)
        if op.name in ("left_shift", "right_shift", "int_pow"):
            whole = np.abs(whole)
        return np.where(whole == 0, 3, whole) if domain else whole
    if "low" in domain:
        values = rng.uniform(domain["low"], domain["high"], shape)
    else:
        values = 1.5 * rng.standard_normal(shape)
        values = values + np.sign(values) * domain.get("away", 0.0)
    return values.astype(abi.NUMPY_DTYPES[code]).astype(float)


def contiguous(values: np.ndarray, dtype) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


def transposed(values: np.ndarray, dtype) -> torch.Tensor:
    """Dimensions in memory in the opposite order."""
    return torch.tensor(values.T.copy(), dtype=dtype).permute(*reversed(range(values.ndim)))


def stepped(values: np.ndarray, dtype) -> torch.Tensor:
    """Every second element along the first dimension and every third along the last, not from the first."""
    steps = [1] * values.ndim
    if values.ndim:
        steps[0] = 2
        steps[-1] = 3
    around = np.full([n * s + 1 for n, s in zip(values.shape, steps, strict=True)], 77)
    around = around.astype(values.dtype)
    window = tuple(slice(1, 1 + n * s, s) for n, s in zip(values.shape, steps, strict=True))
    around[window] = values
    return torch.tensor(around, dtype=dtype)[window]


def unaligned(values: np.ndarray, dtype) -> torch.Tensor:
    """Contiguous, but from the second element of a block of memory on."""
    block = np.concatenate([np.zeros(1, values.dtype), values.reshape(-1)])
    return torch.tensor(block, dtype=dtype)[1:].view(*values.shape)


def expanded(values: np.ndarray, dtype) -> torch.Tensor:
    """The last dimension repeated by a stride of zero; `values` must be constant along it."""
    return torch.tensor(values[..., :1].copy(), dtype=dtype).expand(*values.shape)


LAYOUTS: dict[str, Callable] = {f.__name__: f for f in (contiguous, transposed, stepped, unaligned)}

# shapes of up to three operands and their layouts, cycled through
C, T, S, U = contiguous, transposed, stepped, unaligned
CASES: dict[str, tuple[tuple, tuple]] = {
    "vector": (((5,),), (C,)),
    "several vectors and a rest": (((1037,),), (C,)),
    "odd matrix": (((7, 13),), (C,)),
    "no dimensions": (((),), (C,)),
    "one element": (((1, 1),), (C,)),
    "empty": (((0,),), (C,)),
    "empty dimension": (((3, 0, 2),), (C,)),
    "row": (((4, 19), (19,)), (C,)),
    "column": (((4, 19), (4, 1)), (C,)),
    "column first": (((4, 1), (4, 19)), (C,)),
    "scalar": (((3, 17), ()), (C,)),
    "scalar first": (((), (3, 17)), (C,)),
    "both broadcast": (((5, 1), (1, 18)), (C,)),
    "middle": (((2, 3, 17), (2, 1, 17), (3, 1)), (C,)),
    "empty by broadcasting": (((0, 3), (1, 3)), (C,)),
    "transposed": (((9, 20),), (T,)),
    "one transposed": (((9, 20),), (C, T)),
    "stepped": (((6, 18),), (S,)),
    "mixed": (((3, 5, 18),), (T, S, C)),
    "unaligned": (((3, 21),), (U, C)),
    "stepped row": (((4, 19), (19,)), (T, S)),
    "long row": (((3, 150), (150,)), (C,)),
    "long column": (((3, 150), (3, 1)), (C,)),
    "long scalar": (((2, 150), ()), (C,)),
    "long scalar first": (((), (2, 150)), (C,)),
    "many dimensions": (((2, 1, 3, 2, 1, 5), (3, 1, 2, 5)), (S, C)),
}


def operands_for(
    op: Op, dtype: int, case: str, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[torch.Tensor]]:
    """Arrays and tensors for every operand of one case."""
    shapes, layouts = CASES[case]
    arrays, tensors = [], []
    for k, (name, code) in enumerate(zip(op.operands, codes_of(op, dtype), strict=True)):
        values = sample(op, name, code, shapes[k % len(shapes)], rng)
        arrays.append(values)
        tensors.append(layouts[k % len(layouts)](values, DTYPES[code]))
    return arrays, tensors


# references for operations whose declaration is its own formula only -------------------------------------


_erfc = np.vectorize(math.erfc, otypes=[float])


def _erf(x):
    return np.vectorize(math.erf, otypes=[float])(x) if np.size(x) else np.asarray(x, float)


def _softplus(x):
    return np.logaddexp(0, x)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _huber(d, delta):
    return np.where(np.abs(d) <= delta, 0.5 * d * d, delta * (np.abs(d) - 0.5 * delta))


def _integer_power(base, exponent):
    powers = np.vectorize(lambda a, b: int(a) ** int(b), otypes=[np.int64])(base, exponent)
    return powers.astype(np.result_type(base))  # wraps around


def _lgamma(x):
    return np.vectorize(math.lgamma, otypes=[float])(x) if np.size(x) else np.asarray(x, float)


def _digamma(x):
    x = np.asarray(x, float)
    with np.errstate(all="ignore"):
        up = np.where(x < 0, 1 - x, x)
        z = up + 30
        far = np.log(z) - 1 / (2 * z) - 1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6)
        value = far - (1 / (up[..., None] + np.arange(30))).sum(-1)
        return np.where(x < 0, value - np.pi / np.tan(np.pi * x), value)


def _erfinv(y):
    """By halving an interval."""
    y = np.asarray(y, float)
    low, high = np.full(y.shape, -7.0), np.full(y.shape, 7.0)
    for _ in range(70):
        middle = (low + high) / 2
        above = _erf(middle) > y
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


SELU = 1.0507009873554805, 1.6732632423543772  # scale, alpha: Klambauer et al., 2017


def _bessel(order: int, scaled: bool) -> Callable:
    """Modified Bessel functions by their integral over an angle; the trapezoidal rule converges exponentially."""
    angles = np.linspace(0, math.pi, 201)[1:-1]

    def function(x):
        x = np.asarray(x, float)[..., None]
        offset = np.abs(x) if scaled else 0.0
        inner = np.exp(x * np.cos(angles) - offset) * np.cos(order * angles)
        ends = np.exp(x[..., 0] - np.abs(x[..., 0]) * scaled), np.exp(-x[..., 0] - np.abs(x[..., 0]) * scaled)
        return (inner.sum(-1) + 0.5 * (ends[0] + (-1) ** order * ends[1])) / 200

    return function


def _zeta(s, q):
    """Many terms of the sum, and the integral over what follows."""
    s, q = np.broadcast_arrays(np.asarray(s, float), np.asarray(q, float))
    terms = ((q[..., None] + np.arange(4000.0)) ** -s[..., None]).sum(-1)
    last = q + 4000
    return terms + last ** (1 - s) / (s - 1) + 0.5 * last**-s + s / 12 * last ** (-s - 1)


REFERENCES: dict[str, Callable] = {
    **SPECIAL,
    "i0": _bessel(0, False),
    "i0e": _bessel(0, True),
    "i1": _bessel(1, False),
    "i1e": _bessel(1, True),
    "zeta": _zeta,
    "entr": lambda x: -x * np.log(x),
    "log_ndtr": lambda x: np.log(0.5 * _erfc(-np.asarray(x) * math.sqrt(0.5))),
    "ndtri": lambda x: np.vectorize(NormalDist().inv_cdf, otypes=[float])(x) if np.size(x) else np.asarray(x),
    "int_pow": _integer_power,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "overwrite": lambda x, value: np.broadcast_to(value, np.broadcast_shapes(np.shape(x), np.shape(value))),
    "scale_tied": lambda x, count: np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(count))),
    "copy": lambda x: x,
    "addcmul": lambda x, a, b, value: x + value * a * b,
    "addcdiv": lambda x, a, b, value: x + value * a / b,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "lgamma": _lgamma,
    "digamma": _digamma,
    "trigamma": lambda x: _zeta(2, x),
    "erfinv": _erfinv,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "clamp": np.clip,
    "nan_to_num": lambda x, nan, high, low: np.nan_to_num(x, nan=nan, posinf=high, neginf=low),
    "relu": lambda x: np.clip(x, 0, None),
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, slope * x),
    "prelu": lambda x, weight: np.where(x >= 0, x, weight * x),
    "hardshrink": lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x),
    "softshrink": lambda x, lambd: x - np.clip(x, -lambd, lambd),
    "threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
    "celu": lambda x, alpha: np.maximum(0, x) + np.minimum(0, alpha * (np.exp(x / alpha) - 1)),
    "selu": lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * (np.exp(x) - 1)),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": lambda x, beta, threshold: np.where(beta * x > threshold, x, _softplus(beta * x) / beta),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hardtanh": np.clip,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "logsigmoid": lambda x: -_softplus(-x),
    "squared_error": lambda x, t: (x - t) ** 2,
    "absolute_error": lambda x, t: np.abs(x - t),
    "smooth_l1": lambda x, t, beta: _huber(x - t, beta) / beta,
    "huber": lambda x, t, delta: _huber(x - t, delta),
    "bce": lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p)),
    "bce_with_logits": lambda x, t: -(t * np.log(_sigmoid(x)) + (1 - t) * np.log(_sigmoid(-x))),
    "kl_div_pointwise": lambda logp, q: q * (np.log(q) - logp),
}


def reference_of(op: Op) -> Callable:
    """The operation on NumPy arrays, written down apart from its formula."""
    return op.reference or REFERENCES[op.name]
