"""Functions on tensors in the body of a module's class: ``class Net(nn.Module): act = torch.tanh``.

In PyTorch they are written in C, and so do not become methods: ``self.act(x)`` is ``torch.tanh(x)``. Here they are
Python functions, which the module would come first to.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from jitgrad import functions as T

# those that are in `nn.functional` only, and no Python functions in PyTorch
_OF_NETWORKS = frozenset(
    """adaptive_avg_pool1d avg_pool1d avg_pool2d avg_pool3d bilinear cosine_similarity gelu hardshrink linear logsigmoid
    pairwise_distance pdist prelu scaled_dot_product_attention softplus softshrink""".split()  # noqa: SIM905
)


def leave_unbound(cls: Any) -> None:
    """Have the functions on tensors that a class's body names called without the module, as PyTorch's are."""
    for name, value in list(vars(cls).items()):
        if type(value) is FunctionType and _is_on_tensors(value):
            setattr(cls, name, staticmethod(value))


def _is_on_tensors(function: FunctionType) -> bool:
    name = function.__name__
    if getattr(T, name, None) is function:
        return True
    return name in _OF_NETWORKS and function.__module__.startswith("jitgrad.nn.functional")
