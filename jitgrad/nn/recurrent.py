"""Recurrent networks over whole sequences: `RNN`, `LSTM` and `GRU`."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions.recurrent import Lengths, Weights, walk_layer

from . import init
from ._recurrent_options import KINDS, check_options
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence


class _Input(NamedTuple):
    """A batch of sequences as the layers take it."""

    data: Tensor
    lengths: Lengths
    by_batch: bool
    batched: bool  # False: the batch of one was added here
    packed: PackedSequence | None


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` have in common.

    Parameters
    ----------
    mode : {'RNN_TANH', 'RNN_RELU', 'LSTM', 'GRU'}
    input_size, hidden_size : int
        Features of the input and of the state.
    num_layers : int, default 1
        Layers, each of which takes the outputs of the one before.
    bias : bool, default True
    batch_first : bool, default False
        Inputs and outputs are (batch, steps, features) instead of (steps, batch, features); states are not.
    dropout : float, default 0.0
        While training, zero so much of the outputs of every layer but the last.
    bidirectional : bool, default False
        A second network walks from the end to the beginning; the outputs of both are joined.
    proj_size : int, default 0
        For an LSTM: multiply the state by a matrix that leaves so many features; 0 for none.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters.

    Raises
    ------
    ValueError, TypeError
        If an option is out of range or of the wrong type.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_options(
            type(self).__name__,
            mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            proj_size,
        )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights = tuple(
            self._add_weights(layer, reverse, device, dtype)
            for layer in range(num_layers)
            for reverse in range(2 if bidirectional else 1)
        )
        self.reset_parameters()

    def _add_weights(self, layer: int, reverse: int, device: Any, dtype: Any) -> tuple[str | None, ...]:
        """Make the parameters of one layer in one direction; returns their names in the order of `Weights`."""
        gates = KINDS[self.mode].gates * self.hidden_size
        out = self.proj_size or self.hidden_size
        features = self.input_size if layer == 0 else out * (2 if self.bidirectional else 1)
        suffix = f"_l{layer}{'_reverse' if reverse else ''}"
        shapes: dict[str, tuple[int, ...] | None] = {
            "weight_ih": (gates, features),
            "weight_hh": (gates, out),
            "bias_ih": (gates,) if self.bias else None,
            "bias_hh": (gates,) if self.bias else None,
            "weight_hr": (self.proj_size, self.hidden_size) if self.proj_size else None,
        }
        for name, shape in shapes.items():
            if shape is not None:
                setattr(self, name + suffix, Parameter(T.empty(shape, device=device, dtype=dtype)))
        return tuple(None if shape is None else name + suffix for name, shape in shapes.items())

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform within ``1 / sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: parameters need not lie in one piece here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, n) for n in names if n is not None] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [n for names in self._all_weights for n in names if n is not None]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, n) for n in self._flat_weights_names]

    def extra_repr(self) -> str:
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0}
        shown = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (defaults | {"bidirectional": False}).items():
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    # running --------------------------------------------------------------------------------------

    def _run(
        self, input: Any, states: Sequence[Tensor] | None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, ...]]:
        """Outputs and last states of all layers."""
        x = self._sequences(input)
        if states is not None:
            states = self._checked_states(x, states)
        output, finals = self._layers(x, states)
        if x.packed is not None:
            back = x.packed.unsorted_indices
            if back is not None:
                finals = tuple(T.index_select(s, 1, back) for s in finals)  # type: ignore[attr-defined]
            return x.packed.with_data(output), finals
        if not x.batched:
            output = output.squeeze(0 if self.batch_first else 1)  # type: ignore[attr-defined]
            finals = tuple(s.squeeze(1) for s in finals)  # type: ignore[attr-defined]
        return output, finals

    def _layers(self, x: _Input, states: Sequence[Tensor] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        kind, data = KINDS[self.mode], x.data
        directions = 2 if self.bidirectional else 1
        count = 2 if kind.has_cell else 1
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in range(directions):
                k = layer * directions + reverse
                parameters = [None if n is None else getattr(self, n) for n in self._all_weights[k]]
                first = [None] * count if states is None else [self._part(s, k) for s in states]
                output, *last = walk_layer(
                    kind, data, first, Weights(*parameters), x.lengths, x.by_batch, bool(reverse)
                )
                outputs.append(output)
                finals.append(tuple(last))
            data = outputs[0] if directions == 1 else T.cat(outputs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                data = T.dropout(data, self.dropout, True)
        if len(finals) == 1:
            return data, finals[0]
        return data, tuple(T.cat(parts, 0) for parts in zip(*finals, strict=True))

    def _part(self, state: Tensor, k: int) -> Tensor:
        """The state of one layer in one direction."""
        return state if len(self._all_weights) == 1 else state[k : k + 1]

    # checks ---------------------------------------------------------------------------------------

    def _sequences(self, input: Any) -> _Input:
        """Look the input over, and bring it into one form."""
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            data, counts = input.data, input.counts()
            batched, by_batch = True, False
            self._check_features(data, 2)
            if not len(counts) or (np.diff(counts) > 0).any() or counts[-1] <= 0 or counts.sum() != len(data):
                raise RuntimeError(
                    f"{name}: batch_sizes of a PackedSequence must not increase, be above 0 and add up to the "
                    f"{len(data)} rows of its data, got {counts.tolist()}; pack_padded_sequence makes such"
                )
            lengths = Lengths(len(counts), int(counts[0]), T.tensor(counts))
        else:
            require_tensors(name, input)
            data, by_batch = input, self.batch_first
            dims = data.ndim
            if dims not in (2, 3):
                raise ValueError(
                    f"{name}: Expected input to be 2D or 3D, got {dims}D instead; expected "
                    f"{'(batch, steps, features)' if by_batch else '(steps, batch, features)'} or "
                    "(steps, features)"
                )
            batched = dims == 3
            if not batched:
                data = data.unsqueeze(0 if by_batch else 1)
            self._check_features(data, 3)
            outer, inner = data.shape[0], data.shape[1]
            lengths = Lengths(inner, outer) if by_batch else Lengths(outer, inner)
            if lengths.steps == 0:
                raise RuntimeError(
                    f"{name}: Expected sequence length to be larger than 0 in RNN, got input of shape "
                    f"{tuple(input.shape)}"
                )
        return _Input(data, lengths, by_batch, batched, input if isinstance(input, PackedSequence) else None)

    def _check_features(self, data: Tensor, dims: int) -> None:
        name = type(self).__name__
        weight = self.weight_ih_l0
        if data.dtype is not weight.dtype:
            raise ValueError(
                f"{name}: RNN input dtype ({data.dtype}) does not match weight dtype ({weight.dtype}). Convert "
                f"input: input.to({weight.dtype}), or convert model: model.to({data.dtype})"
            )
        if data.ndim != dims:
            raise RuntimeError(f"{name}: input must have {dims} dimensions, got {data.ndim}")
        if data.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {data.shape[-1]}"
            )

    def _checked_states(self, x: _Input, states: Sequence[Tensor]) -> Sequence[Tensor]:
        """Look the first states over, and bring them into the order and form of the input."""
        name = type(self).__name__
        require_tensors(name, *states)
        dims = 3 if x.batched else 2
        if any(s.ndim != dims for s in states):
            got = ", ".join(f"{s.ndim}-D" for s in states)
            kind = "batched 3-D" if x.batched else "unbatched 2-D"
            raise RuntimeError(
                f"{name}: For {kind} input, hx{' and cx' if len(states) == 2 else ''} should also be "
                f"{dims}-D but got ({got}) tensors"
            )
        if not x.batched:
            states = [s.unsqueeze(1) for s in states]  # type: ignore[attr-defined]
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)
        for k, (state, size) in enumerate(zip(states, sizes, strict=False)):
            expected = (len(self._all_weights), x.lengths.batch, size)
            if tuple(state.shape) != expected:
                which = "size" if len(states) == 1 else f"[{k}] size"
                raise RuntimeError(
                    f"{name}: Expected hidden{' ' if len(states) == 1 else ''}{which} {expected}, "
                    f"got {list(state.shape)}; that is (num_layers * directions, batch, features)"
                )
            if state.dtype is not x.data.dtype:
                raise RuntimeError(
                    f"{name}: hidden state and input must have the same dtype, got {state.dtype} and "
                    f"{x.data.dtype}"
                )
        if x.packed is not None and x.packed.sorted_indices is not None:
            order = x.packed.sorted_indices
            states = [T.index_select(s, 1, order) for s in states]  # type: ignore[attr-defined]
        return states


class RNN(RNNBase):
    """A network with the state ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with relu instead of tanh.

    The parameters are those of `RNNBase`, but for ``mode`` and ``proj_size``, with ``nonlinearity`` as the fourth.

    Parameters
    ----------
    nonlinearity : {'tanh', 'relu'}

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (hidden_size, input_size)
    weight_hh_l0 : Parameter, shape (hidden_size, hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (hidden_size,)
        And so on for each layer, with ``_reverse`` behind the names of the other direction.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("RNN: proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,))
        return output, h_n


class LSTM(RNNBase):
    """Long short-term memory: a cell that gates decide to forget, to write to and to show.

    ``i, f, o = sigmoid(...)`` and ``g = tanh(...)`` of ``W_ih x + b_ih + W_hh h + b_hh``, then
    ``c' = f c + i g`` and ``h' = o tanh(c')``, or with ``proj_size`` ``W_hr (o tanh(c'))``. The parameters are
    those of `RNNBase`, but for ``mode``.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (4 * hidden_size, input_size)
        For i, f, g and o.
    weight_hh_l0 : Parameter, shape (4 * hidden_size, hidden_size or proj_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (4 * hidden_size,)
    weight_hr_l0 : Parameter, shape (proj_size, hidden_size)
        And so on for each layer, with ``_reverse`` behind the names of the other direction.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise TypeError(f"LSTM: hx must be a tuple (h_0, c_0), got {type(hx).__name__}")
        return self._run(input, hx)  # type: ignore[return-value]


class GRU(RNNBase):
    """Gated recurrent units: ``h' = (1 - z) n + z h``.

    ``r`` and ``z`` are the sigmoids of ``W_ih x + b_ih + W_hh h + b_hh``, and
    ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``. The parameters are those of `RNNBase`, but for ``mode``
    and ``proj_size``.

    Attributes
    ----------
    weight_ih_l0 : Parameter, shape (3 * hidden_size, input_size)
        For r, z and n.
    weight_hh_l0 : Parameter, shape (3 * hidden_size, hidden_size)
    bias_ih_l0, bias_hh_l0 : Parameter, shape (3 * hidden_size,)
        And so on for each layer, with ``_reverse`` behind the names of the other direction.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("GRU: proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self._run(input, None if hx is None else (hx,))
        return output, h_n
