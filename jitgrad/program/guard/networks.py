"""What a search looks at of modules and optimizers, whose members and settings are known without a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...nn.module import Module
from ...optim.optimizer import Optimizer
from . import owners
from .reading import Slots, slots_of

if TYPE_CHECKING:
    from .search import Search

_OWN_ATTRIBUTES = frozenset(vars(Module()))
_OWN_OPTIMIZER = {"param_groups", "state"}  # read from memory, or made by the first step


def look_at_module(search: Search, module: Module) -> None:
    """Members are counted by the module itself; here are what its own attributes hold, and its code."""
    search.objects.append(module)
    for one in module.modules():
        search.reached[id(one)] = one
        for x in (*one.parameters(recurse=False), *one.buffers(recurse=False)):
            search.read_beside(x)
        kind = type(one)
        if one._hooks is not None:
            search.waiting += one._hooks.functions()
        if getattr(one.forward, "__func__", None) is not kind.forward:  # set on the instance
            search.waiting.append(one.forward)
            search.read_names(vars(one), ["forward"])  # it can be taken away there
        given = {n: x for n, x in vars(one).items() if n not in _OWN_ATTRIBUTES}
        if owners.is_foreign(kind):
            search.waiting += given.values()
        if not owners.is_users_class(kind):
            search.others |= {id(base): base for base in kind.__mro__}
            # a function that it calls, or what somebody else may have put there
            search.waiting += [x for n, x in given.items() if callable(x) or n in search.words]
            continue
        search.read_class(kind, "forward", "__call__")
        named = given if search.computed else given.keys() & search.words
        search.waiting += [given[n] for n in named if not isinstance(given[n], Module)]
        search.read_names(Slots(one), [n for n in slots_of(kind) if search.computed or n in search.words])


def look_at_optimizer(search: Search, optimizer: Optimizer) -> None:
    """Its settings are read from memory, unless code of the user's or of others reads them."""
    kind = type(optimizer)
    search.objects.append(optimizer)
    search.waiting += [hook for _, hook in optimizer.step_hooks()]
    search.others |= {id(base): base for base in kind.__mro__}
    users, foreign, mapping = owners.is_users_class(kind), owners.is_foreign(kind), vars(optimizer)
    if users:
        search.read_class(kind, "step", "zero_grad")
    if foreign:
        search.read_all_attributes(optimizer, mapping)
    elif users:
        search.read_words(mapping)
    else:
        search.read_names(mapping, [n for n in search.words & mapping.keys() if n not in _OWN_OPTIMIZER])
    if users or foreign or not search.words.isdisjoint(("param_groups", "state_dict")):
        search.waiting += optimizer.param_groups
