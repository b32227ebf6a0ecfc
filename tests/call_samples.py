"""A valid call of every public function and method, made up from signatures, and where tensors stand in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jitgrad as torch
from jitgrad import functions
from jitgrad.nn import functional

Call = tuple[list[Any], dict[str, Any]]


def matrix() -> torch.Tensor:
    return torch.tensor([[0.5, 0.25, 0.75], [0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])


def vector() -> torch.Tensor:
    return torch.tensor([0.5, 0.25, 0.75])


def cube() -> torch.Tensor:
    return torch.stack([matrix()] * 3)


def image(dims: int) -> torch.Tensor:
    return torch.linspace(0.1, 0.9, 3**dims).reshape(1, 1, *[3] * dims)


def convolved(dims: int) -> Callable[[], list[Any]]:
    return lambda: [image(dims), image(dims), torch.tensor([0.5])]


def projection() -> list[torch.Tensor]:
    """Weight and bias for queries, keys and values at once."""
    return [torch.cat([matrix()] * 3), torch.cat([vector()] * 3)]


def integers() -> torch.Tensor:
    return torch.tensor([[0, 1, 2], [2, 1, 0], [1, 1, 1]])


def places() -> torch.Tensor:
    return torch.tensor([0, 2, 1])


def mask() -> torch.Tensor:
    return matrix() > 0.4


# arguments by the name of the parameter, for required parameters and for those that hold tensors
BY_NAME: dict[str, Callable[[], Any]] = {
    "batch1": cube,
    "batch2": cube,
    "boundaries": vector,
    "chunks": lambda: 2,
    "condition": mask,
    "destination": lambda: 1,
    "dim": lambda: 0,
    "dim0": lambda: 0,
    "dim1": lambda: 1,
    "dimension": lambda: 0,
    "dims": lambda: 0,
    "fill_value": lambda: 2,
    "gradient": matrix,
    "index": places,
    "indices": integers,
    "indices_or_sections": lambda: 1,
    "k": lambda: 1,
    "length": lambda: 1,
    "low": lambda: 3,
    "mask": mask,
    "matrices": matrix,
    "max": lambda: 0.5,
    "memo": dict,
    "min": lambda: 0.5,
    "ndarray": lambda: matrix().numpy(),
    "new_state": lambda: torch.get_rng_state(),
    "num_samples": lambda: 2,
    "p": lambda: 0.5,
    "q": lambda: 0.5,
    "repeats": lambda: 2,
    "shape": lambda: (9,),
    "shifts": lambda: 1,
    "size": lambda: (3, 3),
    "sizes": lambda: (3, 1),
    "sorted_sequence": vector,
    "sorter": lambda: torch.tensor([1, 0, 2]),
    "source": matrix,
    "split_size_or_sections": lambda: 2,
    "split_sizes": lambda: (1, 2),
    "start": lambda: 0,
    "step": lambda: 1,
    "tensors": matrix,
    "threshold": lambda: 0.5,
    "value": lambda: 2.0,
    "vec": vector,
    "vec1": vector,
    "vec2": vector,
}

# whole calls, where names do not tell
CALLS: dict[str, Callable[[], list[Any]]] = {
    "arange": lambda: [3],
    "as_subclass": lambda: [matrix(), torch.Tensor],
    "as_strided": lambda: [matrix(), (2, 2), (3, 1)],
    "cholesky": lambda: [matrix() @ matrix().T + torch.eye(3)],
    "cholesky_solve": lambda: [matrix(), matrix() + 2 * torch.eye(3)],
    "combinations": lambda: [vector()],
    "einsum": lambda: ["ij,jk->ik", matrix(), matrix()],
    "lu_solve": lambda: [matrix(), matrix() + 2 * torch.eye(3), torch.tensor([1, 2, 3], dtype=torch.int32)],
    "movedim": lambda: [matrix(), 0, 1],
    "randint": lambda: [3, (2, 2)],
    "randint_like": lambda: [matrix(), 3],
    "select": lambda: [matrix(), 0, 1],
    "empty_strided": lambda: [(2, 2), (1, 2)],
    "new_empty_strided": lambda: [matrix(), (2, 2), (1, 2)],
    "glu": lambda: [matrix()[:, :2]],
    "kl_div": lambda: [matrix(), matrix(), None, None, "sum"],
    "log_softmax": lambda: [matrix(), 0],
    "softmax": lambda: [matrix(), 0],
    "softmin": lambda: [matrix(), 0],
    "item": lambda: [vector()[0]],
    "is_nonzero": lambda: [vector()[0]],
    "multi_head_attention_forward": lambda: [
        *[cube()] * 3,
        3,
        1,
        *projection(),
        None,
        None,
        False,
        0.0,
        matrix(),
        vector(),
    ],
    "ctc_loss": lambda: [cube(), torch.ones(3, 3, dtype=torch.int64), places() * 0 + 3, places() * 0 + 1],
    "register_hook": lambda: [matrix().requires_grad_(), lambda g: None],
    "register_post_accumulate_grad_hook": lambda: [matrix().requires_grad_(), lambda x: None],
    "normal_": lambda: [matrix(), 0.0, 1.0],
    "retain_grad": lambda: [matrix().requires_grad_() * 2],
    "unfold": lambda: [matrix(), 0, 2, 1],
    "absolute_error": lambda: [matrix(), matrix()],
    "binomial": lambda: [matrix(), matrix()],
    "poisson": lambda: [matrix()],
    "matrix_exp": lambda: [matrix()],
    "geometric_": lambda: [matrix(), 0.5],
    **{f"{name}_window": lambda: [4] for name in ("hann", "hamming", "blackman", "bartlett")},
    "affine_grid": lambda: [cube()[:1, :2], (1, 1, 2, 2), False],
    "grid_sample": lambda: [image(2), cube()[None, :, :, :2], "bilinear", "zeros", False],
    "addmv": lambda: [vector(), matrix(), vector()],
    "backward": lambda: [matrix().requires_grad_().sum(), vector()[0]],
    "baddbmm": lambda: [cube(), cube(), cube()],
    "bce": lambda: [matrix(), matrix()],
    "bce_with_logits": lambda: [matrix(), matrix()],
    "bernoulli_": lambda: [matrix(), matrix()],
    "batch_norm": lambda: [cube(), *[vector()] * 4, True, 0.1, 1e-5],
    "bilinear": lambda: [matrix(), matrix(), cube(), vector()],
    "bincount": lambda: [places(), vector()],
    "bmm": lambda: [cube(), cube()],
    "broadcast_shapes": lambda: [(3, 1), (3,)],
    "can_cast": lambda: [torch.float32, torch.float64],
    "broadcast_to": lambda: [matrix(), (2, 3, 3)],
    "celu_": lambda: [matrix(), 0.5],
    **{f"{name}{n}d": convolved(n) for name in ("conv", "conv_transpose") for n in (1, 2, 3)},
    "nn.functional.unfold": lambda: [image(2), 2],
    "fold": lambda: [torch.ones(1, 4, 4), 3, 2],
    "cosine_embedding_loss": lambda: [matrix(), matrix(), vector()],
    "cross_entropy": lambda: [matrix(), places(), vector()],
    "cross_entropy_mean": lambda: [matrix(), places()],
    "cross_entropy_weighted": lambda: [matrix(), places(), vector()],
    "diagonal": lambda: [matrix()],
    "diagonal_scatter": lambda: [matrix(), vector()],
    "dot": lambda: [vector(), vector()],
    "embedding": lambda: [places(), matrix()],
    "embedding_bag": lambda: [integers(), matrix()],
    "expand": lambda: [matrix(), 2, 3, 3],
    "float_power_": lambda: [matrix().double(), 2.0],
    "fused_mse_loss": lambda: [matrix(), matrix()],
    "gather": lambda: [matrix(), 0, integers()],
    "histogram": lambda: [matrix(), 3],
    "segment_reduce": lambda: [matrix(), "sum", torch.tensor([1, 2])],
    "group_norm": lambda: [cube(), 1, vector(), vector()],
    "dsplit": lambda: [cube(), 3],
    "hsplit": lambda: [matrix(), 3],
    "huber": lambda: [matrix(), matrix()],
    "apply_": lambda: [matrix(), abs],
    "map_": lambda: [matrix(), matrix(), max],
    "index_reduce": lambda: [matrix(), 0, places(), matrix(), "mean"],
    "put": lambda: [matrix(), places(), vector()],
    "index_put": lambda: [matrix(), [places(), places()], vector()],
    "instance_norm": lambda: [cube(), *[vector()] * 4, True, 0.1, 1e-5],
    "kl_div_pointwise": lambda: [matrix(), matrix()],
    "layer_norm": lambda: [matrix(), (3,), vector(), vector()],
    "lerp": lambda: [matrix(), matrix(), matrix()],
    "linear": lambda: [matrix(), matrix(), vector()],
    "logit": lambda: [matrix()],
    "meshgrid": lambda: [vector(), vector()],
    "multi_margin_loss": lambda: [matrix(), places(), 1, 1.0, vector()],
    "multilabel_margin_loss": lambda: [matrix(), integers()],
    "multilabel_soft_margin_loss": lambda: [matrix(), matrix(), vector()],
    "mv": lambda: [matrix(), vector()],
    "mvlgamma": lambda: [matrix() + 1, 2],
    "torch.Tensor.polygamma": lambda: [matrix(), 2],
    "torch.Tensor.polygamma_": lambda: [matrix(), 2],
    "polygamma": lambda: [2, matrix()],
    "nll_gather": lambda: [matrix(), places()],
    "nll_mean": lambda: [matrix(), places()],
    "nll_loss": lambda: [matrix(), places(), vector()],
    "normal": lambda: [matrix(), matrix()],
    "one_hot": lambda: [places()],
    "outer": lambda: [vector(), vector()],
    "pdist": lambda: [matrix()],
    "permute": lambda: [matrix(), 1, 0],
    "poisson_nll_loss": lambda: [matrix(), matrix()],
    "prelu": lambda: [matrix(), vector()],
    "repeat": lambda: [matrix(), 1, 2],
    "reshape": lambda: [matrix(), 9],
    "rms_norm": lambda: [matrix(), (3,), vector()],
    "rrelu": lambda: [matrix() - 0.5, 0.1, 0.3, True],
    "rrelu_": lambda: [matrix() - 0.5, 0.1, 0.3, True],
    "rot90": lambda: [matrix()],
    "scatter": lambda: [matrix(), 0, integers(), matrix()],
    "scatter_add": lambda: [matrix(), 0, integers(), matrix()],
    "scaled_dot_product_attention": lambda: [cube(), cube(), cube(), matrix()],
    "triangular_solve": lambda: [matrix(), matrix()],
    "scatter_reduce": lambda: [matrix(), 0, integers(), matrix(), "sum"],
    "select_scatter": lambda: [matrix(), vector(), 0, 1],
    "slice_scatter": lambda: [matrix(), matrix()],
    "smooth_l1": lambda: [matrix(), matrix()],
    "squared_error": lambda: [matrix(), matrix()],
    "squeeze_": lambda: [matrix(), 0],
    "swapaxes_": lambda: [matrix(), 0, 1],
    "take": lambda: [matrix(), integers()],
    "tensordot": lambda: [matrix(), matrix(), 1],
    "torch.embedding": lambda: [matrix(), places()],
    "threshold_": lambda: [matrix(), 0.5, 0.0],
    "transpose_": lambda: [matrix(), 0, 1],
    "unsqueeze_": lambda: [matrix(), 0],
    "vdot": lambda: [vector(), vector()],
    "view": lambda: [matrix(), 9],
    "view_as": lambda: [matrix(), matrix()],
    "vsplit": lambda: [matrix(), 3],
    "where": lambda: [mask(), matrix(), matrix()],
}
_PLANES = {1: matrix, 2: cube, 3: lambda: cube().unsqueeze(0)}
for _n, _planes in _PLANES.items():
    for _kind in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool"):
        CALLS[f"{_kind}{_n}d"] = lambda planes=_planes: [planes(), 2]
    for _kind in ("max_pool", "adaptive_max_pool"):
        CALLS[f"{_kind}{_n}d_with_indices"] = CALLS[f"{_kind}{_n}d"]
    CALLS[f"lp_pool{_n}d"] = lambda planes=_planes: [planes(), 2.0, 2]

for _n in (2, 3):
    CALLS[f"fractional_max_pool{_n}d"] = lambda n=_n: [image(n), 2, 2, None, False, torch.rand(1, 1, n)]

for _name in ("cumprod", "cumsum", "unsqueeze"):
    CALLS[_name] = lambda: [matrix(), 0]
CALLS["index_select"] = lambda: [matrix(), 0, places()]
CALLS["split"] = CALLS["tensor_split"] = lambda: [matrix(), 2]
CALLS["pad"] = lambda: [matrix(), (1, 2)]
for _name in ("interpolate", "upsample", "upsample_nearest"):
    CALLS[_name] = lambda: [cube(), 2]
CALLS["upsample_bilinear"] = lambda: [cube().unsqueeze(0), 2]
CALLS["pixel_unshuffle"] = CALLS["pixel_shuffle"] = CALLS["channel_shuffle"] = lambda: [cube(), 1]
CALLS["local_response_norm"] = lambda: [cube(), 2]
for _n in (1, 2, 3):
    CALLS[f"max_unpool{_n}d"] = lambda planes=_PLANES[_n]: [planes(), planes().long(), 2]
    CALLS[f"dropout{_n}d"] = lambda planes=_PLANES[_n], n=_n: [planes() if n != 2 else cube().unsqueeze(0)]
CALLS["feature_alpha_dropout"] = CALLS["alpha_dropout"] = lambda: [matrix(), 0.5, True]

# of integers and bools, on which these functions work
WHOLE = ("bitwise_", "gcd", "lcm", "__and__", "__or__", "__xor__", "lshift__", "rshift__", "__rand__", "__ror__",
         "__rxor__",
         "__iand__", "__ior__", "__ixor__", "__invert__")  # fmt: skip

# methods that tell only that jitgrad does not have something
UNAVAILABLE = {"bfloat16", "char", "cuda", "half", "short"}
# two need a keyword, one warns in every call, one is an error for real tensors
APART = {"frombuffer", "imag", "range", "segment_reduce"}

# what stands for a tensor though it is annotated as anything
LOOSE = {"a", "b", "base", "boundaries", "exponent", "fill_value", "input", "matrices", "max", "mean", "min",
         "obj", "other", "p", "src", "std", "tensors", "value"}  # fmt: skip


def public() -> Iterator[tuple[str, Callable]]:
    """Every function and method that a script may call on tensors, once, with a name."""
    seen: set[int] = set()
    spaces = (("torch", functions), ("torch.nn.functional", functional), ("torch.Tensor", torch.Tensor))
    for space, owner in spaces:
        for name in dir(owner):
            function = getattr(owner, name)
            if not inspect.isfunction(function) or id(function) in seen:
                continue
            if name in UNAVAILABLE | APART or (name.startswith("_") and name not in OPERATORS):
                continue
            seen.add(id(function))
            yield f"{space}.{name}", function


_NAMES = "add and eq floordiv ge gt le lshift lt matmul mod mul ne or pow rshift sub truediv xor"
OPERATORS = {f"__{prefix}{name}__" for name in _NAMES.split() for prefix in ("", "r", "i")}
OPERATORS |= {"__abs__", "__contains__", "__invert__", "__neg__", "__pos__", "__setitem__"}


def valid_call(name: str, function: Callable) -> list[Any]:
    """Positional arguments with which the function does its work."""
    short = name.rpartition(".")[2]
    known = (name, name.removeprefix("torch."), short, function.__name__, short.removesuffix("_"))
    made = next((CALLS[n] for n in known if n in CALLS), None)
    if name == "torch.Tensor.where":
        return [matrix(), mask(), matrix()]
    if made is not None:
        return made()
    arguments: list[Any] = []
    parameters = list(inspect.signature(function).parameters.values())
    for k, p in enumerate(parameters):
        after = parameters[k + 1].name if k + 1 < len(parameters) else ""
        if p.kind is p.VAR_POSITIONAL and p.name == "args" and after in BY_NAME:
            arguments.append(BY_NAME[after]())  # given one by one, or under that name
            break
        if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD):
            break
        if p.kind is p.VAR_POSITIONAL and p.name not in BY_NAME:
            break
        if p.default is not p.empty and not is_tensor_parameter(p):
            break
        arguments.append(sample(short, p))
    return arguments


def sample(function: str, p: inspect.Parameter) -> Any:
    kind = str(p.annotation)
    if "Sequence[Tensor]" in kind:
        return [matrix(), matrix()]
    if p.name in BY_NAME:
        return BY_NAME[p.name]()
    if any(word in function for word in WHOLE):
        return integers()
    return {"int": 1, "float": 0.5}.get(kind) or matrix()


def is_tensor_parameter(p: inspect.Parameter) -> bool:
    kind = str(p.annotation)
    return ("Tensor" in kind and "Callable" not in kind) or (
        p.name in LOOSE and p.annotation in ("Any", p.empty)
    )
