"""Attention with several heads as a module."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from . import init
from .functional.attention import run_heads
from .linear import Linear
from .module import Module
from .parameter import Parameter


class SDPBackend(Enum):
    """PyTorch's ways to compute attention, which scripts choose among; here there is one."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: SDPBackend | Sequence[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """A context in which attention is computed as outside of it."""
    yield


class NonDynamicallyQuantizableLinear(Linear):
    """A `Linear`, under the name that PyTorch gives the last projection."""


class MultiheadAttention(Module):
    """Attention of queries over keys and values, in several heads side by side.

    Parameters
    ----------
    embed_dim : int
        E: width of the queries and the output.
    num_heads : int
        Must divide ``embed_dim``.
    dropout : float, default 0.0
        For the attention weights, while training.
    bias : bool, default True
        Whether the projections have biases.
    add_bias_kv : bool, default False
        Whether to learn one more key and value for every sequence.
    add_zero_attn : bool, default False
        Whether to add a key and a value of zeros.
    kdim, vdim : int, optional
        Widths of keys and values, by default E.
    batch_first : bool, default False
        Take and return (N, L, E) instead of (L, N, E).
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 E, E)
        None when keys or values have another width; then q_proj_weight (E, E), k_proj_weight (E, kdim) and
        v_proj_weight (E, vdim) are there.
    in_proj_bias : Parameter, shape (3 E,)
    bias_k, bias_v : Parameter, shape (1, 1, E)
    out_proj : Linear

    Raises
    ------
    ValueError, AssertionError
        If the sizes are not positive, or ``num_heads`` does not divide ``embed_dim``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads, got embed_dim={embed_dim} and num_heads={num_heads}"
            )

        def parameter(*shape: int) -> Parameter:
            return Parameter(T.empty(shape, device=device, dtype=dtype))

        if self._qkv_same_embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = parameter(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        if add_bias_kv:
            self.bias_k = parameter(1, 1, embed_dim)
            self.bias_v = parameter(1, 1, embed_dim)
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        weight: Any = self.in_proj_weight
        if not self._qkv_same_embed_dim:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return run_heads(
            (query, key, value),
            self.batch_first,
            (self.embed_dim, self.num_heads),
            (weight, self.in_proj_bias),
            (self.out_proj.weight, self.out_proj.bias),
            (self.bias_k, self.bias_v),
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
            (key_padding_mask, attn_mask, is_causal),
            (need_weights, average_attn_weights),
        )
