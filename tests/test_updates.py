"""The compiled update kernels against their formulas run on NumPy arrays."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from jitgrad.kernels import abi, update_table, updates  # noqa: F401

HYPER = {
    "lr": 0.01,
    "weight_decay": 0.1,
    "sign": -1.0,
    "momentum": 0.9,
    "dampening": 0.1,
    "beta1": 0.8,
    "beta2": 0.99,
    "eps": 1e-3,
    "momentum_decay": 0.1,
    "alpha": 0.9,
    "lr_decay": 0.1,
    "rho": 0.7,
    "lambd": 0.02,
    "t0": 5.0,
    "eta_minus": 0.5,
    "eta_plus": 1.2,
    "smallest": 1e-3,
    "largest": 0.012,
}
TOLERANCE = {"float32": 3e-6, "float64": 1e-14}
SIZES = [1, 3, 16, 17, 64, 200, 1000]

CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Kernel:
    """An update on contiguous arrays, called through a record as the engine does."""

    def __init__(self, name, dtype):
        code = abi.DTYPE_NAMES.index(dtype)
        self.call = CALL(update_table.compile_update(name, code))
        self.rule = update_table.UPDATES[name]
        self.hyper = np.array([HYPER[h] for h in self.rule.hyper])
        self.step = np.zeros(1)

    def __call__(self, p, g, states, parts=1):
        self.step += 1
        arrays = [p, *states, p, g, *states]
        attributes = abi.N_STREAMS + len(arrays) * abi.STREAM_WORDS
        record = np.zeros(attributes + 2, dtype=np.int64)
        record[abi.R_LAYOUT] = abi.NEST_CONTIGUOUS
        record[abi.R_ATTRS] = attributes
        record[abi.R_NUMEL] = record[abi.N_SIZES] = p.size
        record[abi.R_DIMS] = 1
        for k, a in enumerate(arrays):
            stream = abi.N_STREAMS + k * abi.STREAM_WORDS
            record[stream : stream + 2] = a.ctypes.data, 1
        record[attributes:] = self.hyper.ctypes.data, self.step.ctypes.data
        for part in range(parts):
            self.call(record.ctypes.data, part, parts)


def arrays(rule, size, dtype, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.standard_normal(size).astype(dtype)
    return p, [np.zeros(size, dtype) for _ in rule.state], rng


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", update_table.UPDATES)
@pytest.mark.parametrize("before", [0, 4_000, 10**6])
def test_compiled_steps_equal_the_formula(name, dtype, before):
    """Also where a power of a decay is small beside one, and where it is nothing."""
    for size in SIZES if before == 0 else SIZES[-1:]:
        kernel = Kernel(name, dtype)
        kernel.step[0] = before
        p, states, rng = arrays(kernel.rule, size, dtype)
        q, expected = p.copy(), [s.copy() for s in states]
        for t in range(before + 1, before + 13):
            g = rng.standard_normal(size).astype(dtype)
            kernel(p, g, states)
            h = SimpleNamespace(**{n: HYPER[n] for n in kernel.rule.hyper})
            with np.errstate(all="ignore"):
                result = kernel.rule.rule(h, float(t))(q, g, *expected)
            result = result if isinstance(result, tuple) else (result,)
            q, *expected = (np.asarray(r, dtype=dtype) for r in result)
            for a, b in zip([p, *states], [q, *expected], strict=True):
                np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", update_table.UPDATES)
def test_shares_of_threads_add_up_to_the_same_bits(name):
    for size in (5, 64, 130, 1000):
        results = []
        for parts in (1, 2, 3):
            kernel = Kernel(name, "float32")
            p, states, rng = arrays(kernel.rule, size, "float32")
            for _ in range(4):
                kernel(p, rng.standard_normal(size).astype("float32"), states, parts)
            results.append([p.tobytes(), *(s.tobytes() for s in states)])
        assert results[0] == results[1] == results[2]


def test_hyper_parameters_are_read_when_the_kernel_runs():
    kernel = Kernel("sgd", "float32")
    kernel.hyper[:] = [{"lr": 0.5, "sign": 1.0}.get(n, 0.0) for n in kernel.rule.hyper]
    p, g = np.ones(3, "float32"), np.ones(3, "float32")
    kernel(p, g, [])
    kernel.hyper[kernel.rule.hyper.index("lr")] = 0.25
    kernel(p, g, [])
    assert p.tolist() == [0.25] * 3
