"""Recurrent layers, cells and packed sequences give PyTorch's outputs, states, gradients and errors."""

from __future__ import annotations

import numpy as np
import pytest
from recurrent_cases import LAYERS, leaf_of, load, scene
from sample_values import numbers

import jitgrad

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
LIBRARIES = (jitgrad, torch)
LENGTHS = [3, 5, 1, 5, 2]
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-11}}


def flat(result):
    """The tensors in nested results."""
    if isinstance(result, (tuple, list)):
        return [t for part in result if part is not None for t in flat(part)]
    return [result]


def compare(run, dtype):
    """``run(lib)`` returns results and leaves; values and gradients must agree."""
    found = []
    for lib in LIBRARIES:
        results, leaves = run(lib)
        results = flat(results)
        total = sum(
            (r * lib.tensor(np.cos(np.arange(r.numel())).reshape(tuple(r.shape)), dtype=r.dtype)).sum()
            for r in results
            if r.is_floating_point()
        )
        total.backward()
        found.append([r.detach().numpy() for r in results] + [x.grad.numpy() for x in leaves])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["batch", "one", "packed", "no state"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, form, dtype):
    def run(lib):
        module, operands, leaves = scene(lib, name, form, dtype, (6, 4, 5), LENGTHS)
        return module(*operands), leaves

    compare(run, dtype)


CELLS = {
    "RNNCell": {},
    "RNNCell relu": {"nonlinearity": "relu"},
    "LSTMCell": {},
    "GRUCell": {},
    "GRUCell without bias": {"bias": False},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [(), (4,)])
@pytest.mark.parametrize("name", CELLS)
def test_cell(name, batch, dtype):
    def run(lib):
        cell = load(lib, getattr(lib.nn, name.split()[0])(3, 6, **CELLS[name], dtype=getattr(lib, dtype)))
        x = leaf_of(lib, numbers(5, *batch, 3), dtype)
        states = [leaf_of(lib, numbers(*batch, 6, seed=k), dtype) for k in range(2 if "LSTM" in name else 1)]
        state = tuple(states) if "LSTM" in name else states[0]
        made = []
        for t in range(5):
            state = cell(x[t], state)
            made.append(state)
        return made, [x, *states, *cell.parameters()]

    compare(run, dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_state_dict_and_repr(name):
    kind, options = LAYERS[name]
    ours, theirs = (getattr(lib.nn, kind)(3, 6, **options) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)
    expected = {n: tuple(v.shape) for n, v in theirs.state_dict().items()}
    assert {n: tuple(v.shape) for n, v in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(expected)
    ours.load_state_dict({n: jitgrad.from_numpy(v.numpy()) for n, v in theirs.state_dict().items()})
    with torch.no_grad(), jitgrad.no_grad():
        x = numbers(4, 2, 3).astype(np.float32)
        np.testing.assert_allclose(
            ours(jitgrad.tensor(x))[0].numpy(), theirs(torch.tensor(x))[0].numpy(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_and_packing(batch_first):
    def run(lib):
        rnn = lib.nn.utils.rnn
        parts = [leaf_of(lib, numbers(n, 2, seed=k), "float64") for k, n in enumerate(LENGTHS)]
        whole = rnn.pad_sequence(parts, batch_first, 2.0)
        left = rnn.pad_sequence(parts, batch_first, padding_side="left")
        packed = rnn.pack_padded_sequence(whole, lib.tensor(LENGTHS), batch_first, enforce_sorted=False)
        back = rnn.pad_packed_sequence(packed, batch_first, -1.0, 7)
        return [whole, left, *packed, *back, *rnn.unpack_sequence(packed)], parts

    compare(run, "float64")


ERRORS = {
    "features": lambda lib: lib.nn.LSTM(3, 5)(lib.zeros(4, 2, 4)),
    "dimensions": lambda lib: lib.nn.LSTM(3, 5)(lib.zeros(3)),
    "no steps": lambda lib: lib.nn.GRU(3, 5)(lib.zeros(0, 2, 3)),
    "dtype": lambda lib: lib.nn.GRU(3, 5)(lib.zeros(4, 2, 3).double()),
    "state": lambda lib: lib.nn.GRU(3, 5)(lib.zeros(4, 2, 3), lib.zeros(1, 3, 5)),
    "state dimensions": lambda lib: lib.nn.GRU(3, 5)(lib.zeros(4, 2, 3), lib.zeros(2, 5)),
    "cell": lambda lib: lib.nn.LSTM(3, 5)(lib.zeros(4, 2, 3), (lib.zeros(1, 2, 5), lib.zeros(1, 2, 4))),
    "hidden size 0": lambda lib: lib.nn.LSTM(3, 0),
    "input size 0": lambda lib: lib.nn.LSTM(0, 3),
    "layers": lambda lib: lib.nn.LSTM(3, 5, 0),
    "float size": lambda lib: lib.nn.LSTM(3, 5.0),
    "bias": lambda lib: lib.nn.LSTM(3, 5, bias=1),
    "projection": lambda lib: lib.nn.LSTM(3, 5, proj_size=5),
    "projection of a GRU": lambda lib: lib.nn.GRU(3, 5, proj_size=2),
    "dropout": lambda lib: lib.nn.LSTM(3, 5, 2, dropout=1.5),
    "nonlinearity": lambda lib: lib.nn.RNN(3, 5, nonlinearity="elu"),
    "cell features": lambda lib: lib.nn.LSTMCell(3, 5)(lib.zeros(2, 4)),
    "cell dimensions": lambda lib: lib.nn.LSTMCell(3, 5)(lib.zeros(1, 2, 3)),
    "cell batch": lambda lib: lib.nn.GRUCell(3, 5)(lib.zeros(2, 3), lib.zeros(3, 5)),
    "cell state": lambda lib: lib.nn.GRUCell(3, 5)(lib.zeros(2, 3), lib.zeros(2, 4)),
    "no sequences": lambda lib: lib.nn.utils.rnn.pad_sequence([]),
    "unsorted": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2), [2, 3]),
    "few lengths": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2), [2]),
    "length 0": lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2), [2, 0]),
    "total length": lambda lib: lib.nn.utils.rnn.pad_packed_sequence(
        lib.nn.utils.rnn.pack_sequence([lib.ones(3)]), total_length=2
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_class(name):
    caught = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as error:
            ERRORS[name](lib)
        caught.append(error.type)
    assert caught[0] is caught[1] or (caught[0] is RuntimeError and issubclass(caught[1], RuntimeError))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", ["padded", "joined", "one"])
def test_ctc_loss(form, reduction, dtype):
    """Gradients of log-probabilities that are leaves, too, are PyTorch's."""
    rng = np.random.default_rng(0)
    steps, labels, targets = [12, 10, 7, 12, 3], [4, 2, 0, 3, 4], rng.integers(1, 6, (5, 4))
    for zero_infinity in (False, True):

        def run(lib, zero_infinity=zero_infinity):
            x = leaf_of(lib, numbers(12, 5, 6), dtype)
            y = lib.tensor(targets)
            lengths = steps, labels
            if form == "joined":
                y = lib.tensor(np.concatenate([t[:n] for t, n in zip(targets, labels, strict=True)]))
            log_probs = lib.nn.functional.log_softmax(x, -1)
            if form == "one":
                log_probs, y, lengths = log_probs[:, 0], y[0], ((12,), (4,))
            loss = lib.nn.CTCLoss(0, reduction, zero_infinity)(log_probs, y, *lengths)
            straight = leaf_of(lib, np.log(rng_softmax(12, 5, 6)), dtype)
            return [loss, lib.nn.functional.ctc_loss(straight, lib.tensor(targets), steps, labels)], [
                x,
                straight,
            ]

        compare(run, dtype)


def rng_softmax(*shape):
    e = np.exp(numbers(*shape, seed=5))
    return e / e.sum(-1, keepdims=True)
