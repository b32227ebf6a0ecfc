"""A language model on an LSTM."""

from __future__ import annotations

from typing import Any

from .. import functions as T
from .. import nn
from .._tensor import Tensor
from ..autograd import no_grad
from .sampling import check_sampling, check_tokens, draw

State = tuple[Tensor, Tensor]


class LSTMLanguageModel(nn.Module):
    """An embedding, an LSTM over time, and a linear head.

    Parameters
    ----------
    vocab_size : int
        Tokens that there are.
    embedding_dim, hidden_size, num_layers : int
        Width of the embedding and of the LSTM's layers, and how many of these there are.
    dropout : float
        Share that is left out in training: of the embedding, between layers, and before the head.

    Notes
    -----
    Input: tokens (N, T) and optionally the state (h, c) that went before; output: logits of the next tokens
    (N, T, vocab_size) and the state.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 32,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        between = dropout if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(embedding_dim, hidden_size, num_layers, dropout=between, batch_first=True)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the token after each, and the state after the last."""
        x, state = self.lstm(self.drop(self.embedding(tokens)), state)
        return self.head(self.drop(x)), state

    @no_grad()
    def generate(
        self,
        tokens: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: Any = None,
    ) -> Tensor:
        """Continue sequences, token by token; see `GPT.generate`."""
        check_tokens("generate", tokens)
        check_sampling("generate", max_new_tokens, temperature, top_k)
        training = self.training
        self.eval()
        try:
            latest, state = tokens, None
            for _ in range(max_new_tokens):
                scores, state = self(latest, state)
                latest = draw(scores[:, -1], temperature, top_k, generator)
                tokens = T.cat([tokens, latest], 1)
        finally:
            self.train(training)
        return tokens
