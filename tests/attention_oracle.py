"""Attention written as loops over heads and queries in NumPy."""

from __future__ import annotations

import math

import numpy as np


def reference(q, k, v, mask=None, causal=False, scale=None):
    """One query after the other; a query without keys gets zeros."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    out = np.zeros((*lead, q.shape[-2], v.shape[-1]))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    mask = None if mask is None else np.broadcast_to(mask, (*lead, q.shape[-2], k.shape[-2]))
    for head in np.ndindex(lead):
        for i in range(q.shape[-2]):
            scores = k[head] @ q[head][i] * scale
            if mask is not None:
                scores = (
                    np.where(mask[head][i], scores, -np.inf) if mask.dtype == bool else scores + mask[head][i]
                )
            if causal:
                scores = np.where(np.arange(len(scores)) <= i, scores, -np.inf)
            seen = scores > -np.inf
            if seen.any():
                e = np.exp(scores[seen] - scores[seen].max())
                out[head][i] = e / e.sum() @ v[head][seen]
    return out
