"""Compiled steps: a Python function recorded once as a program of call records, and replayed without Python.

`compiled` finds the program that fits a call, or makes one. `guard` finds what of Python's world the function depends
on, `record` runs it and writes down what runs, and `program` keeps that ready, in tables for compiled code (`layout`).
Once it is worth it, `log` reads the records as rows, `rewrites` improve them, and `layout` cuts them for threads.
`replay` runs a program over batches, `way_back` gives its results gradients, and `show` prints it.
"""

from __future__ import annotations

from typing import Any

_MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, bool] | None = None,
    disable: bool = False,
) -> Any:
    """Compile a function or module: its first call is recorded, the following ones are replayed.

    Parameters
    ----------
    model : callable
        A function of tensors (also within tuples, lists and dicts; other arguments are constants), or a module.
    fullgraph : bool
        Raise an error where the function would otherwise run eagerly because it depends on data.
    dynamic, backend, mode
        For PyTorch's sake: every shape has a program of its own, and there is one way to replay it. `mode` must be
        one of PyTorch's.
    options : dict, optional
        Rewrites of the program to switch off, as in ``{"in_place": False}``; see `jitgrad.program.rewrites`.
    disable : bool
        Return the function as it is.

    Returns
    -------
    CompiledFunction or CompiledModule

    Raises
    ------
    AssertionError
        If `model` cannot be called.
    RuntimeError
        If there is no such mode or option.
    """
    # imported at first use: a script that compiles nothing need not wait
    from ..nn import Module
    from .compiled import CompiledFunction
    from .compiled_module import CompiledModule

    del dynamic, backend
    if mode is not None and mode not in _MODES:
        raise RuntimeError(f"compile: Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph, options=options, disable=disable)
    if not callable(model):
        raise AssertionError(f"compile: A callable function is expected, got {type(model).__name__}")
    if disable:
        return model
    return (CompiledModule if isinstance(model, Module) else CompiledFunction)(model, fullgraph, options)
