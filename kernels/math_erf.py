"""The error function of staged vectors."""

from __future__ import annotations

from . import abi
from .math_core import Vec, at_most, fma, give_sign, long_polynomial, magnitude, polynomial
from .math_hyperbolic import exp_bounded

# erf(x) / x - 1 in z = x**2 from zero to the bound; errors 2**-26.1 and 2**-56.0 of erf(x)
SMALL = {
    abi.FLOAT32: (
        0.12837915,
        -0.37612507,
        0.11281978,
        -0.026773592,
        0.0050051366,
        -0.0006060368,
    ),
    abi.FLOAT64: (
        0.12837916709551256,
        -0.3761263890318333,
        0.11283791670935946,
        -0.02686617064169065,
        0.005223977593507339,
        -0.0008548325274977286,
        0.0001205527238425302,
        -1.4924271115835692e-05,
        1.644122794856994e-06,
        -1.6157239822194706e-07,
        1.34803873881764e-08,
        -7.311483912452532e-10,
    ),
}
# log(1 - erf(x)) from the bound to the top; errors 2**-29.2 and 2**-56.4 of erf(x)
LARGE = {
    abi.FLOAT32: (
        -0.00017760185,
        -1.1277491,
        -0.63706064,
        -0.10403647,
        0.02227659,
        -0.0030554594,
        0.00019716343,
    ),
    abi.FLOAT64: (
        -3.640540536197512e-07,
        -1.1283753965676082,
        -0.6366379132449645,
        -0.10271884277641703,
        0.019018837735219198,
        0.00037157348447263973,
        -0.001875585824523434,
        0.0007383458373797974,
        -0.0001147877078064318,
        -3.0288426806029052e-05,
        2.672981129443602e-05,
        -9.861149091222614e-06,
        2.418128137755274e-06,
        -4.2394314178122403e-07,
        5.306813908367028e-08,
        -4.535703598984502e-09,
        2.3801980128019503e-10,
        -5.7951137423381496e-12,
    ),
}
BOUND = {abi.FLOAT32: 0.9, abi.FLOAT64: 0.95}
# from here on erf is one
TOP = {abi.FLOAT32: 3.95, abi.FLOAT64: 5.95}


def erf(x: Vec) -> Vec:
    """The error function."""
    size = at_most(magnitude(x), TOP[x.dtype])
    small = fma(size, polynomial(size * size, SMALL[x.dtype]), size)
    large = 1 - exp_bounded(long_polynomial(size, LARGE[x.dtype]))
    return give_sign((size < BOUND[x.dtype]).select(small, large), x)
