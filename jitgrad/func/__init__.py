"""Transformations of functions: gradients, Jacobians, per-sample maps, and modules as functions.

Names and arguments are those of ``torch.func``. A function may take and return nested tuples, lists and dicts.
"""

from .stateless import functional_call, stack_module_state
from .transforms import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp
from .vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
