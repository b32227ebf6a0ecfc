"""Compiled steps: a Python function recorded once as a program of call records, and replayed without Python."""

from .compiled import CompiledFunction, compile

__all__ = ["CompiledFunction", "compile"]
