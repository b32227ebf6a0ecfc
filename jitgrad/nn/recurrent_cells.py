"""Recurrent networks one step at a time: `RNNCell`, `LSTMCell` and `GRUCell`."""

# ruff: noqa: D102 - what a cell's forward does is said by its class

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions.recurrent import Lengths, Weights, walk_layer
from jitgrad.kernels.recurrent_layout import GRU, LSTM, RNN_RELU, RNN_TANH, Kind

from . import init
from .module import Module
from .parameter import Parameter


class RNNCellBase(Module):
    """What the cells have in common.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    bias : bool
    num_chunks : int
        How many gates there are.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter, shape (num_chunks * hidden_size, input_size)
    weight_hh : Parameter, shape (num_chunks * hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter, shape (num_chunks * hidden_size,), or None
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(T.empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(T.empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(T.empty(gates, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform within ``1 / sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _step(self, kind: Kind, input: Tensor, states: Sequence[Tensor] | None) -> tuple[Tensor, ...]:
        """One step of `kind`; returns the new state."""
        name = type(self).__name__
        require_tensors(name, input)
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input  # type: ignore[attr-defined]
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"{name}: input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}"
            )
        if x.dtype is not self.weight_ih.dtype:
            raise RuntimeError(
                f"{name}: input and weights must have the same dtype, got {x.dtype} and {self.weight_ih.dtype}"
            )
        batch = x.shape[0]
        if states is None:
            first: Sequence[Tensor | None] = (None, None) if kind.has_cell else (None,)
        else:
            first = self._checked(name, x, states, single)
        if not self.hidden_size:
            nothing = T.linear(x, self.weight_ih)
            return ((nothing.squeeze(0) if single else nothing),) * len(first)  # type: ignore[attr-defined]
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        h, _, *c = walk_layer(kind, x, first, weights, Lengths(1, batch))
        return tuple(s.squeeze(0) for s in (h, *c)) if single else (h, *c)  # type: ignore[attr-defined]

    def _checked(self, name: str, x: Tensor, states: Sequence[Tensor], single: bool) -> Sequence[Tensor]:
        require_tensors(name, *states)
        shape, dtype = (x.shape[0], self.hidden_size), x.dtype
        if not single and all(s.shape == shape and s.dtype is dtype for s in states):
            return states
        found = []
        for k, state in enumerate(states):
            which = "hidden" if len(states) == 1 else f"hx[{k}]"
            if state.ndim not in (1, 2):
                raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {state.ndim}D instead")
            state = state.unsqueeze(0) if single else state  # type: ignore[attr-defined]
            if state.ndim != 2 or state.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"{name}: Input batch size {x.shape[0]} doesn't match {which} of shape {tuple(state.shape)}"
                )
            if state.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"{name}: {which} has inconsistent hidden_size: got {state.shape[1]}, expected "
                    f"{self.hidden_size}"
                )
            if state.dtype is not x.dtype:
                raise RuntimeError(
                    f"{name}: {which} and input must have the same dtype, got {state.dtype} and {x.dtype}"
                )
            found.append(state)
        return found


class RNNCell(RNNCellBase):
    """One step of `RNN`: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu of that.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    nonlinearity : {'tanh', 'relu'}
    device, dtype : optional
        See `RNNCellBase`.

    Raises
    ------
    RuntimeError
        From the call, if the nonlinearity is another one or sizes do not fit.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(
                f"RNNCell: Unknown nonlinearity: {self.nonlinearity}; select from 'tanh' or 'relu'"
            )
        kind = RNN_TANH if self.nonlinearity == "tanh" else RNN_RELU
        return self._step(kind, input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: from the input and (h, c) to (h', c').

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    device, dtype : optional
        See `RNNCellBase`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise TypeError(f"LSTMCell: hx must be a tuple (h_0, c_0), got {type(hx).__name__}")
        return self._step(LSTM, input, hx)  # type: ignore[return-value]


class GRUCell(RNNCellBase):
    """One step of `GRU`: from the input and h to h'.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    device, dtype : optional
        See `RNNCellBase`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(GRU, input, None if hx is None else (hx,))[0]
