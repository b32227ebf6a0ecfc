"""Anomaly detection: the operation and the line that a nan on the way back comes from."""

from __future__ import annotations

import warnings

import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.autograd import anomaly, detect_anomaly, set_detect_anomaly
from jitgrad.autograd.observe import observe, stop_observing
from jitgrad.engine import composed, geometry, hot, lines, points, steps
from jitgrad.engine.entry import entries
from jitgrad.engine.layout import RECORDS_NOTHING
from jitgrad.kernels.arguments import Handle
from jitgrad.store import store


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
        yield
    assert not anomaly.is_anomaly_enabled()


class Nan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * float("nan")


# name of the node, forward call, and the text that its line must contain
CASES = {
    "unary": ("SqrtBackward0", lambda x: (x - x).sqrt() * 0),
    "binary": ("DivBackward0", lambda x: x / (x - x) * 0),
    "number": ("PowBackward0", lambda x: (x - x) ** 0.5 * 0),
    "reduction": ("ProdBackward0", lambda x: (x * float("inf")).prod() * 0),
    "array": ("SoftmaxBackward0", lambda x: torch.softmax(x * float("inf"), 0)),
    "custom": ("NanBackward", lambda x: Nan.apply(x)),
}


def nan_case(name):
    """The message for one case."""
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        y = CASES[name][1](x)
        with pytest.raises(RuntimeError) as caught:
            y.sum().backward()
    assert x.grad is None
    return str(caught.value)


@pytest.mark.parametrize("name", ["unary", "binary", "custom", "array"])
def test_the_node_and_the_line_are_named(name):
    message = nan_case(name)
    node = CASES[name][0]
    assert node.removesuffix("0") in message
    assert "returned nan values in its" in message
    assert "test_anomaly.py:" in message
    assert f'"{name}": (' in message  # the source text of the line


def test_only_the_first_nan_on_the_way_back_is_named():
    x = leaf(0.0)
    with detect_anomaly():
        a = x.sqrt()
        b = a * 0
        c = b.exp()
        with pytest.raises(RuntimeError, match=r"SqrtBackward0.* 0th output.*a = x\.sqrt\(\)"):
            c.backward()


def test_the_place_of_the_operand_is_named():
    x, y = leaf(1.0), leaf(0.0)
    with detect_anomaly():
        z = x * 0 / y
        with pytest.raises(RuntimeError, match=r"DivBackward0.* 1th output"):
            z.backward()


def test_nothing_is_said_where_nothing_is_wrong():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        (x.sqrt() * x).sum().backward()
    first = x.grad.tolist()
    x.grad = None
    (x.sqrt() * x).sum().backward()
    assert x.grad.tolist() == first


def test_without_check_nan_only_errors_are_explained():
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise ZeroDivisionError("on purpose")

    with detect_anomaly(check_nan=False):
        x = leaf(0.0)
        (x.sqrt() * 0).backward()
        assert x.grad.isnan().all()
        y = Bad.apply(x)
        with pytest.raises(ZeroDivisionError, match="on purpose") as caught:
            y.backward()
    assert any("test_anomaly.py" in note and "y = Bad.apply(x)" in note for note in caught.value.__notes__)


def test_a_forward_call_outside_is_not_known():
    y = (leaf(0.0).sqrt()) * 0
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward0.*was not seen"):
        y.backward()


def test_a_slot_used_again_does_not_inherit_a_line():
    with detect_anomaly():
        kept = leaf(1.0).exp()
        slot = kept._slot
    del kept
    for _ in range(100):
        y = leaf(0.0).sqrt()
        if y._slot == slot:
            break
    with detect_anomaly(), pytest.raises(RuntimeError, match="was not seen"):
        (y * 0).backward()


def test_gradients_of_gradients_are_looked_at():
    x = leaf(0.0)
    with detect_anomaly():
        y = x.sqrt() * 0
        with pytest.raises(RuntimeError, match=r"SqrtBackward0.*y = x"):
            torch.autograd.grad(y, x, create_graph=True)


def test_autograd_grad_is_looked_at():
    x = leaf(0.0)
    with detect_anomaly():
        y = x.sqrt() * 0
        with pytest.raises(RuntimeError, match="SqrtBackward0"):
            torch.autograd.grad(y, x)


def test_nesting_and_switching():
    assert not anomaly.is_anomaly_enabled()
    with set_detect_anomaly(True, check_nan=False):
        assert anomaly.is_anomaly_enabled()
        assert not anomaly.is_anomaly_check_nan_enabled()
        with set_detect_anomaly(False):
            assert not anomaly.is_anomaly_enabled()
        with detect_anomaly():
            assert anomaly.is_anomaly_check_nan_enabled()
        assert anomaly.is_anomaly_enabled()
        assert not anomaly.is_anomaly_check_nan_enabled()
    assert not anomaly.is_anomaly_enabled()
    set_detect_anomaly(True)
    assert anomaly.is_anomaly_enabled()
    set_detect_anomaly(False)
    with pytest.raises(TypeError, match="must be a bool"):
        set_detect_anomaly("yes")


def test_entering_warns():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        detect_anomaly()


def test_nothing_is_left_when_it_is_off():
    plain = entries.unary
    before = usage()
    with detect_anomaly():
        assert entries.unary is not plain
        x = leaf(1.0)
        (x.exp() * x).backward()
        del x
    assert entries.unary is plain
    assert usage() == before


def test_a_training_loop_keeps_few_notes():
    from jitgrad.autograd.notes import FEWEST, notes

    w = leaf(1.0)
    with detect_anomaly():
        for _ in range(FEWEST):
            (w.exp() * w * w).backward()
            w.grad = None
    assert len(notes) <= 2 * FEWEST


def test_every_entry_that_makes_a_tensor_is_observed():
    unobserved = {
        name
        for module in (hot, geometry, points, lines, steps, composed)
        for name, f in vars(module).items()
        if getattr(f, "records", None) == RECORDS_NOTHING and returns_a_tensor(f.py_func)
    }
    assert unobserved == {"places"}  # whole numbers


X = torch.arange(24.0).reshape(4, 6)
IN_ONE_CALL = {
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(),
    "roll": lambda x: x.roll(1, 0),
    "as_strided": lambda x: x.as_strided((2, 2), (1, 2)),
    "unfold": lambda x: x.unfold(0, 2, 1),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "movedim": lambda x: x.movedim(0, 1),
    "multi_margin_loss": lambda x: torch.nn.functional.multi_margin_loss(x, torch.tensor([0, 1, 2, 3])),
    "masked_fill_": lambda x: (x * 1).masked_fill_(X > 5, 0.0),
    "index_add": lambda x: x.index_add(0, torch.tensor([2]), x[:1]),
    "index_fill": lambda x: x.index_fill(0, torch.tensor([2]), 1.0),
    "scatter": lambda x: x.scatter(1, torch.tensor([[0], [1]]), 1.0),
    "x[i, j]": lambda x: x[1:, torch.tensor([0, 3])],
}


@pytest.mark.parametrize("name", IN_ONE_CALL)
def test_every_row_of_what_is_one_call_is_observed(name):
    x = X.clone().requires_grad_()
    plain = IN_ONE_CALL[name](x)
    seen = []
    observe(seen.append)
    try:
        rows = store.field("rows")
        made = IN_ONE_CALL[name](x)
        rows = store.field("rows") - rows
    finally:
        stop_observing(seen.append)
    assert len(seen) == rows > 0
    assert made.grad_fn.name() == plain.grad_fn.name()
    torch.testing.assert_close(made, plain)


def test_every_row_is_observed_when_one_call_records_several():
    seen = []
    x = torch.ones(3, requires_grad=True)
    observe(seen.append)
    try:
        made = torch.stack([x, x])
    finally:
        stop_observing(seen.append)
    assert len(seen) == 2
    assert made.shape == (2, 3)
    assert torch.stack([x, x]).grad_fn.name() == made.grad_fn.name()


def returns_a_tensor(function):
    return function.__annotations__.get("return") is Handle


@pytest.mark.parametrize(
    "replay", [lambda c, x: c(x), lambda c, x: c.run(x, batch_size=8), lambda c, x: c.loop(2, x)]
)
def test_compiled_functions_run_eagerly_while_it_is_on(replay):
    """A replay leaves no rows that could be looked at."""
    x, w = torch.rand(24) + 1, torch.ones(1, requires_grad=True)

    def step(a):
        w.grad = None
        loss = (w * a).log().mean()
        loss.backward()
        return loss

    compiled = torch.compile(step)
    for _ in range(4):
        compiled(x)
    x[20] = 0
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="'MulBackward0' returned nan"):
        warnings.simplefilter("ignore")
        with detect_anomaly():
            replay(compiled, x)
    assert compiled(x).item() == -float("inf")
    assert len(compiled.programs) == 1
