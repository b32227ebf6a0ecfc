"""Ways to choose entries of a parameter that are held at zero; see `jitgrad.nn.utils.prune`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..module import Module
from ..parameter import Parameter
from ._computed import compute_attribute, store_attribute


class BasePruningMethod(ABC):
    """The base of ways to prune; a subclass has `compute_mask` and a ``PRUNING_TYPE``.

    The type is "unstructured" (single entries), "structured" (slices along a dimension) or "global": it says what is
    left of a parameter that has been pruned before, and so what further pruning chooses from.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        """Change nothing: as a hook it only says that the module is pruned."""
        return None

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask of zeros and ones for entries of these importances, as part of what `default_mask` leaves."""

    def apply_mask(self, module: Module) -> Tensor:
        """The product of the parameter and its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune a parameter of a module, or prune it further.

        Parameters
        ----------
        module : Module
        name : str
            Of the parameter.
        *args, **kwargs
            For the class itself.
        importance_scores : Tensor, optional
            Of the parameter's shape, to choose by in its place.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        before = hooks_for(module, name)
        original = getattr(module, name)
        scores = original if importance_scores is None else importance_scores
        if not isinstance(scores, Tensor) or scores.shape != original.shape:
            raise AssertionError(
                f"prune: expected importance_scores of shape {tuple(original.shape)}, as parameter {name!r} has, got "
                f"{tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__}"
            )
        with no_grad():
            if before:
                key, last = before[-1]
                container = PruningContainer(*(last if isinstance(last, PruningContainer) else [last]))
                container.add_pruning_method(method)
                mask = container.compute_mask(scores.detach(), getattr(module, name + "_mask"))
                module._remove_hook(key)
                method = container
            else:
                mask = method.compute_mask(scores.detach(), T.ones_like(scores))
        if before:
            getattr(module, name + "_mask").copy_(mask)
        else:
            _keep(module, name, method, mask)
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """Return a tensor with the entries at zero that this method chooses, without a module."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                f"prune: expected importance_scores of shape {tuple(t.shape)}, got {tuple(scores.shape)}"
            )
        mask = T.ones_like(t) if default_mask is None else default_mask
        with no_grad():
            mask = self.compute_mask(scores.detach(), mask)
        return t * mask

    def remove(self, module: Module) -> None:
        """Make the product the parameter itself."""
        name = self._tensor_name
        original = getattr(module, name + "_orig")
        product = self.apply_mask(module).detach()
        with no_grad():
            original.copy_(product)
        store_attribute(module, name)
        delattr(module, name + "_orig")
        delattr(module, name + "_mask")
        setattr(module, name, original)


def hooks_for(module: Module, name: str) -> list[tuple[Any, BasePruningMethod]]:
    """The hooks that say how a parameter is pruned, by their numbers."""
    return [
        (key, hook)
        for key, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]


def _keep(module: Module, name: str, method: BasePruningMethod, mask: Tensor) -> None:
    """Take the parameter apart into itself and its mask."""
    original = getattr(module, name)
    if not isinstance(original, Parameter):
        original = Parameter(original.detach())
    delattr(module, name)
    module.register_parameter(name + "_orig", original)
    module.register_buffer(name + "_mask", mask.detach())
    compute_attribute(module, name, method.apply_mask)


class PruningContainer(BasePruningMethod):
    """Methods that were applied to one parameter, one after the other."""

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        for method in args:
            self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add a method for the same parameter.

        Raises
        ------
        TypeError
            If it is no pruning method.
        ValueError
            If it is for another parameter.
        """
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._pruning_methods and method._tensor_name != self._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to "
                f"PruningContainer. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, k: int) -> BasePruningMethod:
        return self._pruning_methods[k]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of the last method among what the mask before has left."""
        method, mask = self._pruning_methods[-1], default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            left = mask == 1
            mask = mask.clone()
            mask[left] = method.compute_mask(t[left], mask[left])
            return mask
        if method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim  # type: ignore[attr-defined]
            others = tuple(d for d in range(t.ndim) if d != dim)
            left = ((mask.sum(others) if others else mask) != 0).nonzero().squeeze(1)
            return mask.index_copy(
                dim, left, method.compute_mask(t.index_select(dim, left), mask.index_select(dim, left))
            )
        if method.PRUNING_TYPE == "global":
            return method.compute_mask(t, mask)
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")


class Identity(BasePruningMethod):
    """Prunes nothing; makes a parameter ready to be pruned."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask itself."""
        del t
        return default_mask


class _Amount(BasePruningMethod):
    """The base of methods with an amount: a share from 0 to 1, or a number."""

    def __init__(self, amount: float) -> None:
        if isinstance(amount, bool) or not isinstance(amount, int | float | Integral):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        whole = isinstance(amount, Integral)
        if amount < 0 or (not whole and amount > 1):
            raise ValueError(
                f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
            )
        self.amount = amount

    def _count(self, size: int) -> int:
        """How many of so many are pruned."""
        if not isinstance(self.amount, Integral):
            return round(self.amount * size)
        if self.amount > size:
            raise ValueError(
                f"amount={self.amount} should be smaller than the number of parameters to prune={size}"
            )
        return int(self.amount)


def _least(scores: Tensor, count: int) -> Tensor:
    """Places of the least scores."""
    return T.topk(scores, count, largest=False)[1]


class RandomUnstructured(_Amount):
    """Prunes entries at random; ``amount`` is a share (float) or a number (int)."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask with so many more zeros."""
        return _entries(default_mask, T.rand(t.numel()), self._count(t.numel()))


class L1Unstructured(_Amount):
    """Prunes the entries of the least absolute values; ``amount`` is a share (float) or a number (int)."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask with so many more zeros."""
        return _entries(default_mask, t.abs().reshape(-1), self._count(t.numel()))


def _entries(mask: Tensor, scores: Tensor, count: int) -> Tensor:
    flat = mask.clone().contiguous().view(-1)
    if count:
        flat[_least(scores, count)] = 0
    return flat.view(mask.shape)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask with zeros in so many more slices."""
        if t.ndim < 2:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{tuple(t.shape)} with {t.ndim} dims"
            )
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {tuple(t.shape)}")
        dim = self.dim % t.ndim
        count = self._count(t.shape[dim])
        if not count:
            return default_mask
        return default_mask.clone().index_fill_(dim, _least(self._scores(t, dim), count), 0)


class RandomStructured(_Structured):
    """Prunes slices along a dimension at random; ``amount`` is a share (float) or a number (int)."""

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        return T.rand(t.shape[dim])


class LnStructured(_Structured):
    """Prunes the slices along a dimension whose n-norms are least; ``amount`` is a share (float) or a number (int)."""

    def __init__(self, amount: float, n: float | str, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        others = tuple(d for d in range(t.ndim) if d != dim)
        return T.norm(t, self.n, others)


class CustomFromMask(BasePruningMethod):
    """Prunes the entries that a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The product of both masks."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"custom_from_mask: expected a mask of shape {tuple(default_mask.shape)}, got {tuple(self.mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask.dtype)
