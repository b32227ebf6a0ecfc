"""Recurrent networks written as loops over single sequences in NumPy, and what tests of recurrent layers share."""

from __future__ import annotations

import numpy as np
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import recurrent_layout

# name: class, options
LAYERS = {
    "RNN": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "RNN both ways": ("RNN", {"num_layers": 2, "bidirectional": True}),
    "LSTM": ("LSTM", {}),
    "LSTM without bias": ("LSTM", {"bias": False}),
    "LSTM three layers": ("LSTM", {"num_layers": 3}),
    "LSTM batch first": ("LSTM", {"batch_first": True}),
    "LSTM both ways": ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "LSTM projected": ("LSTM", {"proj_size": 2}),
    "LSTM projected both ways": (
        "LSTM",
        {"proj_size": 2, "num_layers": 2, "bidirectional": True, "bias": False},
    ),
    "GRU": ("GRU", {}),
    "GRU without bias": ("GRU", {"bias": False, "batch_first": True}),
    "GRU both ways": ("GRU", {"num_layers": 2, "bidirectional": True}),
}


KINDS = {
    kind.op: kind
    for kind in (
        recurrent_layout.LSTM,
        recurrent_layout.GRU,
        recurrent_layout.RNN_TANH,
        recurrent_layout.RNN_RELU,
    )
}


def make(name: str, features: int = 3, hidden: int = 5, dtype=torch.float64, **more) -> nn.Module:
    """A layer of the table, always with the same parameters."""
    kind, options = LAYERS[name]
    torch.manual_seed(len(name))
    return getattr(nn, kind)(features, hidden, **(options | more), dtype=dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_step(name, x, h, c, w):
    """The next state of one sequence: weights by PyTorch's names, without the layer."""
    a = w["weight_ih"] @ x + w.get("bias_ih", 0)
    b = w["weight_hh"] @ h + w.get("bias_hh", 0)
    if name == "tanh":
        return np.tanh(a + b), c
    if name == "relu":
        return np.maximum(a + b, 0), c
    if name == "LSTM":
        i, f, g, o = np.split(a + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (w["weight_hr"] @ h if "weight_hr" in w else h), c
    (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
    r, z = sigmoid(ar + br), sigmoid(az + bz)
    return (1 - z) * np.tanh(an + r * bn) + z * h, c


def reference(module, sequences, h0=None, c0=None):
    """Outputs of each sequence (steps, features), and the last states (layers * directions, batch, ...)."""
    name = getattr(module, "nonlinearity", type(module).__name__)
    weights = {n: p.detach().numpy().astype(np.float64) for n, p in module.named_parameters()}
    directions = ["", "_reverse"] if module.bidirectional else [""]
    batch, count = len(sequences), module.num_layers * len(directions)
    out, width = module.proj_size or module.hidden_size, module.hidden_size
    h_n = np.zeros((count, batch, out)) if h0 is None else h0.copy()
    c_n = np.zeros((count, batch, width)) if c0 is None else c0.copy()
    results = []
    for s, x in enumerate(sequences):
        for layer in range(module.num_layers):
            outputs = []
            for d, suffix in enumerate(directions):
                end = f"_l{layer}{suffix}"
                w = {n[: -len(end)]: v for n, v in weights.items() if n.endswith(end)}
                k = layer * len(directions) + d
                made = np.zeros((len(x), out))
                for t in range(len(x))[:: -1 if suffix else 1]:
                    h_n[k, s], c_n[k, s] = one_step(name, x[t], h_n[k, s], c_n[k, s], w)
                    made[t] = h_n[k, s]
                outputs.append(made)
            x = np.concatenate(outputs, 1)
        results.append(x)
    return results, h_n, c_n


# for two libraries -------------------------------------------------------------------------------------------


def leaf_of(lib, array, dtype):
    return lib.tensor(array, dtype=getattr(lib, dtype), requires_grad=True)


def load(lib, module):
    """The module with the same parameters in every library."""
    with lib.no_grad():
        for k, p in enumerate(module.parameters()):
            p.copy_(lib.tensor(numbers(*p.shape, seed=k) * 0.4, dtype=p.dtype))
    return module


def scene(lib, name, form, dtype, sizes, lengths):
    """A layer, its operands, and the leaves among these, for an input of a `form`.

    Parameters
    ----------
    form : {'batch', 'one', 'packed', 'no state'}
    sizes : triple of int
        Hidden size, batch and steps.
    lengths : sequence of int
        Of the sequences of a pack.
    """
    kind, options = LAYERS[name]
    hidden, batch, steps = sizes
    module = load(lib, getattr(lib.nn, kind)(3, hidden, **options, dtype=getattr(lib, dtype)))
    lead = {"one": (), "packed": (len(lengths),)}.get(form, (batch,))
    widths = (options.get("proj_size", hidden), hidden)[: 2 if kind == "LSTM" else 1]
    count = len(module.all_weights)
    states = tuple(leaf_of(lib, numbers(count, *lead, w, seed=w), dtype) for w in widths)
    leaves = [*module.parameters(), *(() if form == "no state" else states)]
    if form == "packed":
        parts = [leaf_of(lib, numbers(n, 3, seed=k), dtype) for k, n in enumerate(lengths)]
        leaves += parts
        x = lib.nn.utils.rnn.pack_sequence(parts, enforce_sorted=False)
    else:
        shape = (steps,) if form == "one" else (batch, steps) if module.batch_first else (steps, batch)
        x = leaf_of(lib, numbers(*shape, 3), dtype)
        leaves.append(x)
    first = () if form == "no state" else (states if kind == "LSTM" else states[0],)
    return module, (x, *first), leaves
