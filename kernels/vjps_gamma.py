"""Gradients of the incomplete gamma functions as formulas on tensors; see `kernels.vjps`."""

from __future__ import annotations


def gammainc_x(ops, a, x, g):
    """Gradient of the lower incomplete gamma function for x: the density of the gamma distribution."""
    return g * ((a - 1) * x.log() - x - a.lgamma()).exp()


def gammaincc_x(ops, a, x, g):
    """Gradient of the upper incomplete gamma function for x."""
    return -gammainc_x(ops, a, x, g)
