"""Draws whose number of attempts is not known ahead (gamma, Poisson, binomial), and incomplete gamma functions.

Each element draws from a generator of its own, which an operand seeds: so a draw is a function of its operands, and
a compiled step, which draws the seeds anew, draws fresh numbers. The loops are in `kernels.gamma_draws_loops`.
Operands are contiguous and of one shape.
"""

from __future__ import annotations

from functools import partial

from . import abi
from .table import LIKE_FIRST, array_op, loops
from .vjps_gamma import gammainc_x, gammaincc_x

_loops = partial(loops, "gamma_draws_loops")

SEED = {"seed": abi.INT64}

array_op(
    "log_gamma_draw",
    ("alpha", "seed"),
    _loops("log_gamma_draw"),
    backward=_loops("log_gamma_draw_backward"),
    gradients={"alpha": ("alpha", "y")},
    operand_dtypes=SEED,
    rule=LIKE_FIRST,
)
array_op("poisson_draw", ("rate", "seed"), _loops("poisson_draw"), operand_dtypes=SEED, rule=LIKE_FIRST)
array_op(
    "binomial_draw", ("count", "prob", "seed"), _loops("binomial_draw"), operand_dtypes=SEED, rule=LIKE_FIRST
)
for _name, _vjp in (("gammainc", gammainc_x), ("gammaincc", gammaincc_x)):
    array_op(
        _name,
        ("a", "x"),
        _loops(_name),
        backward=_loops(_name + "_backward"),
        gradients={"x": ("a", "x")},
        vjp={"x": _vjp},
        rule=LIKE_FIRST,
    )
