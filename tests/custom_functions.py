"""Custom functions for tests."""

from __future__ import annotations

from jitgrad.autograd import Function


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def function(forward, backward=lambda ctx, *g: g if len(g) > 1 else g[0], **methods):
    """A custom function from two plain functions."""
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    body |= {name: staticmethod(method) for name, method in methods.items()}
    return type("Made", (Function,), body)
