"""Padding and packing of sequences, and recurrent layers on packed sequences."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from gradients import check_gradients
from recurrent_cases import LAYERS, reference

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn.utils import rnn

LENGTHS = [3, 5, 1, 5, 2]
SORTED = sorted(LENGTHS, reverse=True)


def sequences(lengths, *trailing, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, *trailing)) for n in lengths]


def padded(arrays, value=0.0, left=False):
    """Sequences as (batch, steps, ...)."""
    steps = max(len(a) for a in arrays)
    result = np.full((len(arrays), steps, *arrays[0].shape[1:]), value)
    for k, a in enumerate(arrays):
        result[k, steps - len(a) if left else 0 : steps if left else len(a)] = a
    return result


# padding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trailing", [(), (2,), (2, 3)])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pad_sequence(side, batch_first, trailing):
    arrays = sequences(LENGTHS, *trailing)
    found = rnn.pad_sequence([torch.tensor(a) for a in arrays], batch_first, -7.0, side).numpy()
    expected = padded(arrays, -7.0, side == "left")
    np.testing.assert_array_equal(found if batch_first else found.swapaxes(0, 1), expected)


def test_pad_sequence_of_integers_and_of_one():
    found = rnn.pad_sequence([torch.tensor([1, 2]), torch.tensor([3])], padding_value=-1)
    assert found.dtype == torch.int64 and found.tolist() == [[1, 3], [2, -1]]
    assert rnn.pad_sequence(iter([torch.tensor([1, 2])]), batch_first=True).tolist() == [[1, 2]]
    assert rnn.pad_sequence([torch.zeros(0, 2), torch.ones(1, 2)]).tolist() == [[[0, 0], [1, 1]]]


def test_gradients_of_padding():
    check_gradients(lambda *s: rnn.pad_sequence(list(s)), *sequences([2, 3, 1], 2))


@pytest.mark.parametrize("batch_first", [False, True])
def test_unpad_sequence_undoes_padding(batch_first):
    arrays = sequences(LENGTHS, 2)
    whole = rnn.pad_sequence([torch.tensor(a) for a in arrays], batch_first)
    for lengths in (LENGTHS, torch.tensor(LENGTHS)):
        found = rnn.unpad_sequence(whole, lengths, batch_first)
        for a, b in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(a, b.numpy())


# packing --------------------------------------------------------------------------------------------------


def test_packed_data_lies_step_by_step():
    packed = rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5]), torch.tensor([6])])
    assert packed.data.tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices is None and packed.unsorted_indices is None


def test_packing_sorts_when_it_must():
    padded_batch = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
    packed = rnn.pack_padded_sequence(padded_batch, [2, 1, 3], batch_first=True, enforce_sorted=False)
    assert packed.data.tolist() == [4, 1, 3, 5, 2, 6]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [2, 0, 1]
    assert packed.unsorted_indices.tolist() == [1, 2, 0]
    back, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
    assert back.tolist() == padded_batch.tolist() and lengths.tolist() == [2, 1, 3]


@pytest.mark.parametrize("trailing", [(), (2,), (2, 3)])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, SORTED, [4], [1, 1, 1]])
def test_packing_and_padding_undo_each_other(lengths, batch_first, trailing):
    arrays = sequences(lengths, *trailing)
    whole = rnn.pad_sequence([torch.tensor(a) for a in arrays], batch_first)
    packed = rnn.pack_padded_sequence(whole, torch.tensor(lengths), batch_first, enforce_sorted=False)
    assert packed.data.shape[0] == sum(lengths)
    back, found = rnn.pad_packed_sequence(packed, batch_first, -3.0)
    assert found.tolist() == lengths and found.dtype == torch.int64
    expected = padded(arrays, -3.0)
    np.testing.assert_array_equal(back.numpy() if batch_first else back.numpy().swapaxes(0, 1), expected)
    for a, b in zip(arrays, rnn.unpack_sequence(packed), strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_padding_to_a_given_length():
    packed = rnn.pack_sequence([torch.ones(2), torch.ones(1)])
    assert rnn.pad_packed_sequence(packed, total_length=4)[0].tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]


def test_steps_beyond_the_longest_sequence_are_dropped():
    packed = rnn.pack_padded_sequence(torch.arange(8.0).reshape(4, 2), [2, 1])
    assert packed.data.tolist() == [0.0, 1.0, 2.0]


def test_gradients_of_packing():
    def there_and_back(x):
        packed = rnn.pack_padded_sequence(x, [1, 3, 2], True, enforce_sorted=False)
        return torch.cat([packed.data.square().reshape(-1), rnn.pad_packed_sequence(packed)[0].reshape(-1)])

    check_gradients(there_and_back, np.random.default_rng(0).standard_normal((3, 3, 2)))


def test_packed_sequence_is_a_tuple_that_converts():
    packed = rnn.pack_sequence([torch.ones(2), torch.ones(3)], enforce_sorted=False)
    data, sizes, order, back = packed
    assert data is packed.data and sizes is packed.batch_sizes
    assert order.tolist() == back.tolist() == [1, 0]
    double = packed.double()
    assert double.data.dtype == torch.float64 and double.batch_sizes is sizes
    assert isinstance(double, rnn.PackedSequence)
    assert packed.float() is packed and packed.cpu() is packed and packed.to(torch.float32) is packed
    assert packed.long().data.tolist() == [1] * 5 and packed.int().data.dtype == torch.int32
    assert packed.byte().data.dtype == torch.uint8
    assert not packed.is_cuda and not packed.is_pinned()
    again = rnn.PackedSequence((data, sizes), None, order)
    assert again.unsorted_indices.tolist() == [1, 0]
    assert rnn.invert_permutation(None) is None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rnn.pad_sequence([]), RuntimeError, ["empty list"]),
        (lambda: rnn.pad_sequence(3), RuntimeError, ["iterable", "int"]),
        (lambda: rnn.pad_sequence([torch.ones(2, 3), torch.ones(2, 4)]), RuntimeError, ["(2, 3)", "(2, 4)"]),
        (lambda: rnn.pad_sequence([torch.tensor(1.0)]), RuntimeError, ["()"]),
        (lambda: rnn.pad_sequence([[1, 2]]), TypeError, ["must be Tensor"]),
        (lambda: rnn.pad_sequence([torch.ones(2)], padding_side="top"), RuntimeError, ["top"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [2, 3]), RuntimeError, ["enforce_sorted=False"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [2]), RuntimeError, ["batch_size=2", "got 1"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [2, 0]), RuntimeError, ["greater than 0"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(3, 2), [4, 2]), RuntimeError, ["3 steps", "[4, 2]"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(3), [3]), RuntimeError, ["2 or more"]),
        (lambda: rnn.pack_padded_sequence(torch.ones(0, 2), [0, 0]), RuntimeError, ["empty"]),
        (lambda: rnn.pad_packed_sequence(torch.ones(3)), TypeError, ["PackedSequence"]),
        (
            lambda: rnn.pad_packed_sequence(rnn.pack_sequence([torch.ones(3)]), total_length=2),
            ValueError,
            ["total_length=2", "3"],
        ),
        (lambda: rnn.unpad_sequence(torch.ones(3, 2), [1]), ValueError, ["2 sequences", "got 1"]),
        (
            lambda: nn.LSTM(2, 3)(rnn.pack_sequence([torch.ones(3, 4)])),
            RuntimeError,
            ["input_size", "Expected 2, got 4"],
        ),
        (
            lambda: nn.GRU(2, 3)(rnn.pack_sequence([torch.ones(3, 2)]), torch.zeros(1, 2, 3)),
            RuntimeError,
            ["(1, 1, 3)", "[1, 2, 3]"],
        ),
        *(
            (
                lambda sizes=sizes: nn.GRU(2, 3)(rnn.PackedSequence(torch.ones(4, 2), torch.tensor(sizes))),
                RuntimeError,
                ["batch_sizes", str(sizes), "4 rows"],
            )
            for sizes in ([1, 3], [3, 2], [4, 0], [5, -1], [3])
        ),
    ],
)
def test_refusal(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# layers on packed sequences -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lengths", [LENGTHS, SORTED, [2, 2, 2], [1]])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_on_sequences_of_different_lengths(name, lengths, dtype):
    kind, options = LAYERS[name]
    module = getattr(nn, kind)(3, 4, **options, dtype=dtype)
    arrays = sequences(lengths, 3)
    packed = rnn.pack_sequence([torch.tensor(a, dtype=dtype) for a in arrays], enforce_sorted=False)
    rng = np.random.default_rng(1)
    count = module.num_layers * (2 if module.bidirectional else 1)
    widths = (module.proj_size or 4, 4)[: 2 if kind == "LSTM" else 1]
    first = [rng.standard_normal((count, len(lengths), w)) for w in widths]
    for given in ((), first):
        states = tuple(torch.tensor(s, dtype=dtype) for s in given)
        y, last = module(packed, *([states if kind == "LSTM" else states[0]] if given else []))
        assert isinstance(y, rnn.PackedSequence)
        expected, *ends = reference(module, arrays, *given)
        tolerance = 2e-6 if dtype is torch.float32 else 1e-13
        for a, b in zip(expected, rnn.unpack_sequence(y), strict=True):
            np.testing.assert_allclose(b.detach().numpy(), a, atol=tolerance)
        for s, e in zip(last if kind == "LSTM" else (last,), ends, strict=False):
            np.testing.assert_allclose(s.detach().numpy(), e, atol=tolerance)


@pytest.mark.parametrize(
    "name", ["LSTM both ways", "GRU both ways", "RNN both ways", "LSTM projected both ways"]
)
def test_gradients_equal_those_of_single_sequences(name):
    kind, options = LAYERS[name]
    options = {**options, "batch_first": False}
    module = getattr(nn, kind)(3, 4, **options, dtype=torch.float64)
    arrays = [torch.tensor(a, requires_grad=True) for a in sequences(LENGTHS, 3)]
    y, _ = module(rnn.pack_sequence(arrays, enforce_sorted=False))
    sum(s.square().sum() for s in rnn.unpack_sequence(y)).backward()
    found = {n: p.grad.numpy().copy() for n, p in module.named_parameters()}
    inputs = [a.grad.numpy().copy() for a in arrays]
    module.zero_grad()
    for a in arrays:
        a.grad = None
        module(a)[0].square().sum().backward()
    for n, p in module.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), found[n], rtol=1e-11, atol=1e-13, err_msg=n)
    for a, g in zip(arrays, inputs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), g, rtol=1e-11, atol=1e-13)


def test_compiled_function_of_packed_sequences():
    """Programs for sequences of other lengths are not mixed up, though all tensors have the same shapes."""
    module = nn.GRU(2, 3)
    compiled = torch.compile(lambda packed: rnn.pad_packed_sequence(module(packed)[0])[0], fullgraph=True)
    for lengths in ([3, 2, 1], [3, 3], [3, 2, 1], [3, 3], [3, 2, 1]):
        packed = rnn.pack_sequence([torch.ones(n, 2) * n for n in lengths])
        expected = rnn.pad_packed_sequence(module(packed)[0])[0]
        np.testing.assert_array_equal(compiled(packed).detach().numpy(), expected.detach().numpy())
    assert len(compiled.programs) == 2
    with torch.no_grad():  # no graph keeps a program busy
        for lengths in ([3, 2, 1], [3, 3], [3, 2, 1], [3, 3]):
            packed = rnn.pack_sequence([torch.ones(n, 2) * n for n in lengths])
            assert compiled(packed).tolist() == rnn.pad_packed_sequence(module(packed)[0])[0].tolist()


def test_compiled_step_with_lengths_as_numbers():
    def build():
        model = nn.LSTM(3, 4, bidirectional=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        made = [torch.tensor(padded(sequences(LENGTHS, 3, seed=k)), dtype=torch.float32) for k in range(4)]

        def step(x):
            optimizer.zero_grad()
            packed = rnn.pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False)
            loss = rnn.pad_packed_sequence(model(packed)[0])[0].square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, lambda k: (made[k % 4],), model, optimizer)

    assert_same(build)
