"""nextafter, frexp: what NumPy makes of the same bits."""

import numpy as np
import pytest

import jitgrad as torch

VALUES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.75,
    3e-39,
    -1e-45,
    5e-324,
    1e-310,
    3.0e38,
    -2.5,
    1e10,
    np.inf,
    -np.inf,
    np.nan,
]
DTYPES = [(torch.float32, np.float32), (torch.float64, np.float64)]


@pytest.mark.parametrize(("kind", "numpy_kind"), DTYPES, ids=["float32", "float64"])
def test_nextafter_is_the_neighbour(kind, numpy_kind):
    with np.errstate(all="ignore"):
        x, y = np.meshgrid(np.array(VALUES, numpy_kind), np.array(VALUES, numpy_kind))
        expected = np.nextafter(x, y)
    made = torch.nextafter(torch.from_numpy(x), torch.from_numpy(y))
    assert made.dtype is kind
    np.testing.assert_array_equal(made.numpy(), expected)


def test_nextafter_broadcasts_and_takes_strided_operands_and_none():
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    made = torch.from_numpy(x).t().nextafter(torch.tensor([0.0, 9.0, -9.0]))
    np.testing.assert_array_equal(made.numpy(), np.nextafter(x.T, np.array([0, 9, -9], np.float32)))
    assert torch.nextafter(torch.ones(0, 2), torch.ones(2)).shape == (0, 2)
    with pytest.raises(RuntimeError, match="expected one dtype, got float32 and float64"):
        torch.nextafter(torch.ones(1), torch.ones(1).double())
    with pytest.raises(RuntimeError, match="expected floating-point numbers, got int64"):
        torch.frexp(torch.arange(3))


@pytest.mark.parametrize(("kind", "numpy_kind"), DTYPES, ids=["float32", "float64"])
def test_frexp_splits_numbers(kind, numpy_kind):
    with np.errstate(all="ignore"):
        x = np.array([*VALUES, *np.logspace(-30, 30, 50)], numpy_kind)
        mantissa, exponent = np.frexp(x)
    made = torch.frexp(torch.from_numpy(x))
    assert made.mantissa.dtype is kind
    assert made.exponent.dtype is torch.int32
    np.testing.assert_array_equal(made.mantissa.numpy(), mantissa)
    np.testing.assert_array_equal(made.exponent.numpy(), exponent)


def test_the_mantissa_has_a_gradient():
    x = torch.tensor([3.0, -10.0], requires_grad=True)
    torch.frexp(x)[0].sum().backward()
    assert x.grad.tolist() == [0.25, 0.0625]


def test_neighbours_have_no_gradient():
    x = torch.ones(2, requires_grad=True)
    assert not torch.nextafter(x, x + 1).requires_grad


def test_a_compiled_step_replays_what_reads_bits():
    def step(x, y):
        mantissa, exponent = torch.frexp(x)
        return torch.nextafter(x, y) - x, mantissa, exponent

    compiled = torch.compile(step, fullgraph=True)
    for x in (1.0, 2.0, 6.0):
        gap, mantissa, exponent = compiled(torch.tensor([x]), torch.tensor([9.0]))
        assert gap.item() == np.spacing(np.float32(x))
        assert (mantissa.item(), exponent.item()) == np.frexp(x)
