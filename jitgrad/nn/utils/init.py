"""Modules made without the initialisation of their parameters."""

from __future__ import annotations

import inspect
from typing import Any

from ..init import skipped
from ..module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Any:
    """Make a module whose parameters somebody else will fill.

    The functions of `nn.init` leave what is made meanwhile as it is in memory, and draw nothing.

    Parameters
    ----------
    module_cls : type
        A class of modules that takes ``device``.
    *args, **kwargs
        For it.

    Raises
    ------
    RuntimeError
        If ``module_cls`` is no class of modules, or does not take ``device``.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"skip_init: Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(
            f"skip_init: {module_cls.__name__} must support a 'device' arg to skip initialization"
        )
    with skipped():
        return module_cls(*args, **kwargs)
