"""Jacobians, Hessians and their products with vectors, of functions of tensors.

Names, arguments and shapes are those of ``torch.autograd.functional``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._tensor import Tensor
from .chosen import grad
from .modes import enable_grad

Tensors = tuple[Tensor, ...]

COLUMN_COST = 3  # a product with one column, which walks the recorded walk back, in walks back


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of a vector and the Jacobian.

    Parameters
    ----------
    func : callable
        From tensors to a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where the Jacobian is taken.
    v : Tensor or tuple of Tensor
        Of the shapes of the outputs; may be left out for one output of one element.
    create_graph : bool
        Record the computation, so that the result can be differentiated.
    strict : bool
        Raise when an output does not depend on an input, instead of giving zeros.

    Returns
    -------
    outputs, vjp
        What `func` returns, and a tensor for each input, of its shape.

    Raises
    ------
    RuntimeError
        When the shapes of `v` and the outputs differ.
    """
    with enable_grad():
        xs, one_input = _as_tuple(inputs, "inputs", "vjp")
        xs = _prepared(xs, create_graph)
        ys, one_output = _outputs(func, xs, "vjp", strict)
        vs = _vectors(v, ys, "vjp", "outputs")
        found = _gradients(ys, xs, vs, create_graph, strict, "vjp")
    return _result(ys, one_output, create_graph), _result(found, one_input, create_graph)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of the Jacobian and a vector, by differentiating ``vjp`` for its vector.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As for `vjp`.
    v : Tensor or tuple of Tensor
        Of the shapes of the inputs; may be left out for one input of one element.

    Returns
    -------
    outputs, jvp
        What `func` returns, and a tensor for each output, of its shape.
    """
    with enable_grad():
        xs, _ = _as_tuple(inputs, "inputs", "jvp")
        vs = _vectors(v, xs, "jvp", "inputs")
        xs = _prepared(xs, create_graph)
        ys, one_output = _outputs(func, xs, "jvp", strict)
        found = push_forward(ys, xs, vs, create_graph, strict, "jvp")
    return _result(ys, one_output, create_graph), _result(found, one_output, create_graph)


def push_forward(
    ys: Tensors, xs: Tensors, vs: Tensors, create_graph: bool, strict: bool = False, name: str = "jvp"
) -> Tensors:
    """``J v`` for recorded outputs."""
    return _pusher(ys, xs, create_graph, strict, name)(vs)


def _pusher(
    ys: Tensors, xs: Tensors, create_graph: bool, strict: bool, name: str
) -> Callable[[Tensors], Tensors]:
    """The function from v to ``J v``: ``u J`` is linear in u, and this is its transpose."""
    cotangents = tuple(y.new_zeros(y.shape).requires_grad_() for y in ys)  # type: ignore[attr-defined]
    pulled = _gradients(ys, xs, cotangents, True, strict, name)
    return lambda vs: _gradients(pulled, cotangents, vs, create_graph, False, name)


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for each output and input a tensor of shape ``(*output.shape, *input.shape)``.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As for `vjp`.
    vectorize : bool
        Accepted; there is one walk back for each element either way.
    strategy : {"reverse-mode", "forward-mode"}
        One walk back for each element of the outputs; or one product for each element of the inputs, where
        these are so much fewer that it is faster.

    Returns
    -------
    Tensor, or tuple of Tensor, or tuple of tuples
        One tensor where input and output are single; else a tuple over inputs, within one over outputs.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise RuntimeError(f'jacobian: strategy must be "reverse-mode" or "forward-mode", got {strategy!r}')
    with enable_grad():
        xs, one_input = _as_tuple(inputs, "inputs", "jacobian")
        xs = _prepared(xs, create_graph)
        ys, one_output = _outputs(func, xs, "jacobian", strict)
        blocks = jacobian_blocks(ys, xs, create_graph, strict, strategy)
    rows = tuple(row[0] if one_input else tuple(row) for row in blocks)
    return rows[0] if one_output else rows


def jacobian_blocks(
    ys: Tensors, xs: Tensors, create_graph: bool, strict: bool = False, strategy: str = "reverse-mode"
) -> list[list[Tensor]]:
    """A row for each output, with the block for each input, whether or not gradients reach from one to the other."""
    columns = sum(x.numel() for x in xs) * COLUMN_COST
    by_columns = strategy == "forward-mode" and columns < sum(y.numel() for y in ys)
    blocks = (_columns if by_columns else _rows)(ys, xs, create_graph, strict)
    return blocks if create_graph else [[block.detach() for block in row] for row in blocks]


def _rows(ys: Tensors, xs: Tensors, create_graph: bool, strict: bool) -> list[list[Tensor]]:
    blocks = []
    for y in ys:
        each = [_gradients((y,), xs, (u,), create_graph, strict, "jacobian") for u in _basis(y)]
        columns = zip(*each, strict=True) if each else ((),) * len(xs)
        blocks.append([_block(parts, 0, y, x) for parts, x in zip(columns, xs, strict=True)])
    return blocks


def _columns(ys: Tensors, xs: Tensors, create_graph: bool, strict: bool) -> list[list[Tensor]]:
    push, blocks = _pusher(ys, xs, create_graph, strict, "jacobian"), []
    still = [x.new_zeros(x.shape) for x in xs]  # type: ignore[attr-defined]
    for j, x in enumerate(xs):
        each = [push((*still[:j], v, *still[j + 1 :])) for v in _basis(x)]
        rows = zip(*each, strict=True) if each else ((),) * len(ys)
        blocks.append([_block(parts, -1, y, x) for parts, y in zip(rows, ys, strict=True)])
    return [list(row) for row in zip(*blocks, strict=True)]


def _basis(x: Tensor) -> Iterator[Tensor]:
    """The unit vectors of a tensor's shape: windows of a line with a single one."""
    n, shape = x.numel(), x.shape
    line = x.new_zeros(2 * n)  # type: ignore[attr-defined]
    if n:
        line[n] = 1
    for k in range(n):
        yield line[n - k : 2 * n - k].view(shape)


def _block(parts: Sequence[Tensor], dim: int, y: Tensor, x: Tensor) -> Tensor:
    """The block of an output and an input, given its rows (dimension 0) or its columns (-1)."""
    from ..functions import stack

    shape = (*y.shape, *x.shape)
    if not parts:
        return x.new_zeros(shape)  # type: ignore[attr-defined]
    return stack([g.reshape(-1) for g in parts], dim).reshape(shape)  # type: ignore[attr-defined]


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function with one output of one element.

    Returns
    -------
    Tensor, or tuple of tuples of Tensor
        Shape ``(*a.shape, *b.shape)`` for inputs a and b.
    """
    xs, one_input = _as_tuple(inputs, "inputs", "hessian")

    def gradient(*points: Tensor) -> Any:
        points = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in points)
        y = _scalar(func, points, "hessian")
        return _gradients((y,), points, None, True, strict, "hessian")

    blocks = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return blocks[0][0] if one_input else blocks


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of a vector and the Hessian of a function with one output of one element.

    Returns
    -------
    output, vhp
        What `func` returns, and a tensor for each input, of its shape.
    """
    with enable_grad():
        xs, one_input = _as_tuple(inputs, "inputs", "vhp")
        vs = _vectors(v, xs, "vhp", "inputs")
        xs = _prepared(xs, create_graph)
        y = _scalar(func, xs, "vhp")
        first = _gradients((y,), xs, None, True, strict, "vhp")
        found = _gradients(first, xs, vs, create_graph, False, "vhp")
    return _result((y,), True, create_graph), _result(found, one_input, create_graph)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The product of the Hessian and a vector; as `vhp`, because the Hessian is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)


# parts --------------------------------------------------------------------------------------------------


def _as_tuple(values: Any, what: str, name: str) -> tuple[Tensors, bool]:
    """The tensors as a tuple, and whether it was one."""
    single = isinstance(values, Tensor)
    found = (values,) if single else tuple(values) if isinstance(values, tuple | list) else (values,)
    for x in found:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: {what} must be a Tensor or a tuple of Tensors, got {type(x).__name__}")
    return found, single


def _prepared(xs: Tensors, create_graph: bool) -> Tensors:
    """Inputs of which gradients can be asked: linked to the caller's graph if that is wanted."""
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in xs)  # type: ignore[attr-defined]
    return tuple(x.detach().requires_grad_() for x in xs)


def _outputs(func: Callable, xs: Tensors, name: str, strict: bool) -> tuple[Tensors, bool]:
    ys, single = _as_tuple(func(*xs), "the outputs of the function", name)
    if strict and not all(y.requires_grad for y in ys):
        raise RuntimeError(f"{name}: an output of the function does not require gradients: it is independent")
    return ys, single


def _scalar(func: Callable, xs: Tensors, name: str) -> Tensor:
    (y, *rest), _ = _as_tuple(func(*xs), "the output of the function", name)
    if rest or y.numel() != 1:
        raise RuntimeError(
            f"{name}: The function given to {name} should return a single Tensor of one element"
        )
    return y.reshape(())  # type: ignore[attr-defined]


def _vectors(v: Any, like: Tensors, name: str, what: str) -> Tensors:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"{name}: The vector v can only be None if the {what} are a single Tensor with a single element; "
                f"got shapes {[tuple(x.shape) for x in like]}"
            )
        return (like[0].new_ones(like[0].shape),)  # type: ignore[attr-defined]
    vs, _ = _as_tuple(v, "v", name)
    if len(vs) != len(like) or any(a.shape != b.shape for a, b in zip(vs, like, strict=True)):
        raise RuntimeError(
            f"{name}: v has invalid size: it should have the shapes of the {what}, "
            f"{[tuple(x.shape) for x in like]}, got {[tuple(x.shape) for x in vs]}"
        )
    return vs


def _gradients(
    ys: Sequence[Tensor],
    xs: Tensors,
    vs: Sequence[Tensor] | None,
    create_graph: bool,
    strict: bool,
    name: str,
) -> Tensors:
    """Gradients of the outputs that have a history; zeros for inputs that none of them depends on."""
    live = [k for k, y in enumerate(ys) if y.requires_grad]
    found: Sequence[Tensor | None] = (None,) * len(xs)
    if live:
        cotangents = None if vs is None else [vs[k] for k in live]
        found = grad([ys[k] for k in live], xs, cotangents, True, create_graph, allow_unused=True)
    if strict and any(g is None for g in found):
        raise RuntimeError(
            f"{name}: the output of the function is independent of input {list(found).index(None)}"
        )
    return tuple(x.new_zeros(x.shape) if g is None else g for g, x in zip(found, xs, strict=True))  # type: ignore[attr-defined]


def _result(values: Sequence[Tensor], single: bool, create_graph: bool) -> Any:
    found = tuple(values) if create_graph else tuple(x.detach() for x in values)
    return found[0] if single else found
