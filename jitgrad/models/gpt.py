"""A small GPT: a transformer that guesses the next token."""

from __future__ import annotations

import math
from typing import Any

from .. import functions as T
from .. import nn
from .._tensor import Tensor
from ..autograd import no_grad
from ..nn import functional as F
from .sampling import check_sampling, check_tokens, draw

DEVIATION = 0.02  # of the weights at the start, as in GPT-2


class CausalSelfAttention(nn.Module):
    """Attention of every position to itself and to those before it.

    Parameters
    ----------
    width : int
        Numbers of a position.
    heads : int
        Heads; they must divide the width.
    dropout : float
        Share of the attention weights that is left out in training.
    bias : bool
        Whether the linear layers have one.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        # three products: the parts of one would meet again in the walk back, piece by piece
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """What every position gathers, (N, T, width)."""
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Attention, then a perceptron with GELU, each behind a LayerNorm and beside a shortcut.

    Parameters
    ----------
    width, heads, dropout, bias
        As in `CausalSelfAttention`; dropout also stands at the end of both branches.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads, dropout, bias)
        self.norm2 = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 4 * width, bias=bias)
        self.proj = nn.Linear(4 * width, width, bias=bias)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, (N, T, width)."""
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.proj(F.gelu(self.fc(self.norm2(x)))))


class GPT(nn.Module):
    """Embeddings of tokens and positions, causal pre-norm blocks, and a linear head.

    Parameters
    ----------
    vocab_size : int
        Tokens that there are.
    block_size : int
        Positions that the model can see at once.
    n_layer, n_head, n_embd : int
        Blocks, heads of each, and width.
    dropout : float
        As in `Block`, and of the embeddings.
    bias : bool
        Whether the blocks' linear layers have one.

    Raises
    ------
    ValueError
        When the heads do not divide the width.

    Notes
    -----
    Input: tokens (N, T), T at most `block_size`; output: logits of the next tokens (N, T, vocab_size). After
    Radford et al., "Language models are unsupervised multitask learners", 2019, with its initialisation.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: int,
        n_layer: int = 4,
        n_head: int = 4,
        n_embd: int = 64,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if n_head < 1 or n_embd % n_head:
            raise ValueError(
                f"GPT: n_embd must be divisible by n_head, got n_embd {n_embd} and n_head {n_head}"
            )
        self.block_size = block_size
        self.token_embedding = nn.Embedding(vocab_size, n_embd)
        self.position_embedding = nn.Embedding(block_size, n_embd)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.blocks = nn.Sequential(*(Block(n_embd, n_head, dropout, bias) for _ in range(n_layer)))
        self.norm = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size, bias=False)
        self._initialise(n_layer)

    def _initialise(self, n_layer: int) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("proj.weight"):  # two shortcuts a block add up
                nn.init.normal_(parameter, 0.0, DEVIATION / math.sqrt(2 * n_layer))
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, 0.0, DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each.

        Raises
        ------
        ValueError
            When the tokens are not (N, T), or there are more positions than the model can see.
        """
        if tokens.ndim != 2:
            raise ValueError(f"GPT: expected tokens of shape (N, T), got shape {tuple(tokens.shape)}")
        positions = tokens.shape[1]
        if positions > self.block_size:
            raise ValueError(
                f"GPT: cannot forward sequence of length {positions}, block size is only {self.block_size}; "
                "cut it to the last positions"
            )
        x = self.token_embedding(tokens) + self.position_embedding.weight[:positions]
        return self.head(self.norm(self.blocks(self.drop(x))))

    @no_grad()
    def generate(
        self,
        tokens: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: Any = None,
    ) -> Tensor:
        """Continue sequences, token by token.

        Parameters
        ----------
        tokens : Tensor
            How they begin: whole numbers, (N, T) with T from 1 on.
        max_new_tokens : int
            Tokens to add.
        temperature : float
            Divides the logits: below 1 draws the likely ones more often, 0 draws nothing else.
        top_k : int, optional
            Draw among so many of the likeliest tokens only.
        generator : Generator, optional
            Source of the random numbers: the same seed gives the same text.

        Returns
        -------
        Tensor
            (N, T + max_new_tokens)
        """
        check_tokens("generate", tokens)
        check_sampling("generate", max_new_tokens, temperature, top_k)
        training = self.training
        self.eval()
        try:
            for _ in range(max_new_tokens):
                scores = self(tokens[:, -self.block_size :])[:, -1]
                tokens = T.cat([tokens, draw(scores, temperature, top_k, generator)], 1)
        finally:
            self.train(training)
        return tokens
