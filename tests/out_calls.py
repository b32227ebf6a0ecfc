"""Calls that take ``out=``: of one matrix, with several results, and draws."""

from __future__ import annotations

import inspect

from call_samples import public

import jitgrad as torch

F = torch.nn.functional
A = [[1.5, -2.0, 3.0], [0.25, 4.0, -1.0]]


def matrix(dtype=torch.float32, grad=False):
    return torch.tensor(A, dtype=dtype, requires_grad=grad)


def seeded(function, *args, **options):
    """A call whose draws are the same every time."""
    torch.manual_seed(3)
    return function(*args, **options)


# name: the call, and what it returns without out=
CASES = {
    "torch.add": lambda x=None, **k: torch.add(matrix() if x is None else x, matrix(), alpha=2, **k),
    "torch.sub": lambda x=None, **k: torch.sub(matrix() if x is None else x, 1.5, **k),
    "torch.mul": lambda x=None, **k: torch.mul(matrix() if x is None else x, matrix(), **k),
    "torch.div": lambda x=None, **k: torch.div(matrix() if x is None else x, 2, rounding_mode="floor", **k),
    "torch.matmul": lambda x=None, **k: torch.matmul(matrix() if x is None else x, matrix().t(), **k),
    "torch.mm": lambda x=None, **k: torch.mm(matrix() if x is None else x, matrix().t(), **k),
    "torch.bmm": lambda x=None, **k: torch.bmm((matrix() if x is None else x)[None], matrix().t()[None], **k),
    "torch.softmax": lambda x=None, **k: torch.softmax(matrix() if x is None else x, 1, **k),
    "torch.log_softmax": lambda x=None, **k: torch.log_softmax(matrix() if x is None else x, 0, **k),
    "torch.cross": lambda x=None, **k: torch.cross(matrix() if x is None else x, matrix().flip(0), **k),
    "torch.arange": lambda **k: torch.arange(1, 7, 2, **k),
    "torch.cat": lambda x=None, **k: torch.cat([matrix() if x is None else x, matrix()], 1, **k),
    "torch.empty": lambda **k: torch.empty(2, 3, **k),
    "torch.eye": lambda **k: torch.eye(2, 3, **k),
    "torch.full": lambda **k: torch.full((2, 3), 2.5, **k),
    "torch.linspace": lambda **k: torch.linspace(0, 3, 5, **k),
    "torch.norm": lambda x=None, **k: torch.norm(matrix() if x is None else x, dim=1, **k),
    "torch.logspace": lambda **k: torch.logspace(0, 2, 3, base=2, **k),
    "torch.mean": lambda x=None, **k: torch.mean(matrix() if x is None else x, 1, **k),
    "torch.nanmean": lambda x=None, **k: torch.nanmean(matrix() if x is None else x, 0, keepdim=True, **k),
    "torch.nansum": lambda x=None, **k: torch.nansum(matrix() if x is None else x, -1, **k),
    "torch.prod": lambda x=None, **k: torch.prod(matrix() if x is None else x, 1, **k),
    "torch.sum": lambda x=None, **k: torch.sum(matrix() if x is None else x, (0, 1), keepdim=True, **k),
    "torch.randint": lambda **k: seeded(torch.randint, 2, 9, (2, 3), **k),
    "torch.randperm": lambda **k: seeded(torch.randperm, 5, **k),
    "torch.ones": lambda **k: torch.ones(2, 3, **k),
    "torch.polygamma": lambda x=None, **k: torch.polygamma(2, matrix() if x is None else x, **k),
    "torch.stack": lambda x=None, **k: torch.stack([matrix() if x is None else x, matrix()], **k),
    "torch.zeros": lambda **k: torch.zeros((2, 3), **k),
    "torch.nn.functional.normalize": lambda x=None, **k: F.normalize(matrix() if x is None else x, **k),
}
# name: a call of one matrix
ALIKE = {
    "addbmm": lambda x: [x, torch.ones(2, 2, 4), torch.ones(2, 4, 3)],
    "addmm": lambda x: [x, x, torch.ones(3, 3)],
    "addmv": lambda x: [x[:, 0], x, x[0]],
    "addr": lambda x: [x, x[:, 0], x[0]],
    "amax": lambda x: [x, 1],
    "amin": lambda x: [x, (0, 1), True],
    "baddbmm": lambda x: [x, x[None], torch.ones(1, 3, 3)],
    "column_stack": lambda x: [[x, x]],
    "cumprod": lambda x: [x, 1],
    "cumsum": lambda x: [x, -1],
    "diag": lambda x: [x, 1],
    "dot": lambda x: [x[0], x[1]],
    "dstack": lambda x: [[x, x]],
    "gather": lambda x: [x, 1, torch.tensor([[2], [0]])],
    "hstack": lambda x: [[x, x]],
    "index_select": lambda x: [x, 1, torch.tensor([2, 0])],
    "inner": lambda x: [x, x],
    "kron": lambda x: [x, x],
    "logcumsumexp": lambda x: [x, 0],
    "logsumexp": lambda x: [x, 1],
    "masked_select": lambda x: [x, matrix() > 0],
    "mv": lambda x: [x, x[0]],
    "nanquantile": lambda x: [x, 0.3, 1],
    "outer": lambda x: [x[0], x[1]],
    "quantile": lambda x: [x, torch.tensor([0.2, 0.7]).to(x.dtype), 0],
    "renorm": lambda x: [x, 2, 0, 1.0],
    "std": lambda x: [x, 1],
    "take_along_dim": lambda x: [x, torch.tensor([[2], [0]]), 1],
    "tril": lambda x: [x, 1],
    "triu": lambda x: [x],
    "var": lambda x: [x, 0, False, True],
    "vdot": lambda x: [x[0], x[1]],
    "vstack": lambda x: [[x, x]],
}


def alike(name):
    return lambda x=None, **k: getattr(torch, name)(*ALIKE[name](matrix() if x is None else x), **k)


CASES |= {f"torch.{name}": alike(name) for name in ALIKE}
# name: a call with several results
SEVERAL = {
    "torch.cummax": lambda **k: torch.cummax(matrix(), 1, **k),
    "torch.cummin": lambda **k: torch.cummin(matrix(), 0, **k),
    "torch.kthvalue": lambda **k: torch.kthvalue(matrix(), 2, 1, **k),
    "torch.max": lambda **k: torch.max(matrix(), 1, keepdim=True, **k),
    "torch.min": lambda **k: torch.min(matrix(), dim=0, **k),
    "torch.mode": lambda **k: torch.mode(matrix(), 1, **k),
    "torch.sort": lambda **k: torch.sort(matrix(), dim=0, descending=True, **k),
    "torch.topk": lambda **k: torch.topk(matrix(), 2, **k),
}
FUNCTIONS = dict(public())
# these refuse a higher dtype
OWN_DTYPE = (
    "torch.bmm",
    "torch.cross",
    "torch.log_softmax",
    "torch.matmul",
    "torch.mm",
    "torch.norm",
    "torch.softmax",
    *(f"torch.{name}" for name in ALIKE),
)
OF_TRUTH = {"torch.all", "torch.any"}  # these make bools
OF_PLACES = {"torch.argmax", "torch.argmin"}  # and these indices
# draws: what is drawn, and a dtype that out= cannot have
DRAWN = {
    "bernoulli": (lambda **k: torch.bernoulli(torch.full((2, 3), 0.4), **k), None),
    "bernoulli of one probability": (lambda **k: torch.bernoulli(matrix(), 0.4, **k), None),
    "multinomial": (lambda **k: torch.multinomial(matrix().abs(), 2, **k), torch.float32),
    "normal": (lambda **k: torch.normal(1.0, 2.0, (2, 3), **k), torch.int64),
    "normal of tensors": (lambda **k: torch.normal(matrix(), matrix().abs(), **k), torch.int64),
    "rand": (lambda **k: torch.rand(2, 3, **k), torch.int64),
    "randn": (lambda **k: torch.randn((2, 3), **k), torch.int32),
}
OF_TENSORS = [name for name, call in CASES.items() if "x" in inspect.signature(call).parameters]
MAKERS = [name for name in CASES if name not in OF_TENSORS]
WITH_VALUES = [name for name in CASES if name != "torch.empty"]


def filled_like(result, dtype=None):
    return torch.full(tuple(result.shape), 77, dtype=dtype or result.dtype)
