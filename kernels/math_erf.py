"""The error function of staged vectors."""

from __future__ import annotations

from . import abi
from .math_core import (
    Vec,
    at_most,
    fma,
    give_sign,
    long_polynomial,
    magnitude,
    polynomial,
    scale,
    two_product,
)
from .math_exp import exp_minus_one, reduce_exponent
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

# erf(x) / x - 1 in z = x**2 for x <= 0.47; errors 2**-30.1 and 2**-56.0 of erf(x)
TINY = {
    abi.FLOAT32: (
        0.12837917,
        -0.3761262,
        0.11283135,
        -0.026782412,
        0.0047795814,
    ),
    abi.FLOAT64: (
        0.12837916709551256,
        -0.37612638903183643,
        0.11283791670942216,
        -0.02686617063914806,
        0.00522397748634813,
        -0.0008548308830816783,
        0.00012053932145720217,
        -1.4862540174136946e-05,
        1.4914831505591217e-06,
    ),
}
# exp(x**2) * erfc(x) * (x + k) in t = (x - k) / (x + k) for 0.47 <= x; errors 2**-25.8 and 2**-52.4
SCALED_SHIFT = {abi.FLOAT32: 2.0, abi.FLOAT64: 3.0}
SCALED = {
    abi.FLOAT32: (
        1.0215827,
        -0.6871607,
        0.27947068,
        -0.03644177,
        -0.021491062,
        0.0064703696,
        0.0029937613,
        -0.00080036675,
        -0.00046702896,
    ),
    abi.FLOAT64: (
        1.0740069070883396,
        -0.8833944531698815,
        0.5902283571041151,
        -0.3104672619008142,
        0.11952776128663302,
        -0.026827234615889452,
        -0.0012124166150027137,
        0.0030340618651294457,
        -0.0005483098010431203,
        -0.00027677667216837473,
        0.00010756200186913391,
        3.039214062617363e-05,
        -1.747180554467411e-05,
        -4.730137706596809e-06,
        2.766423369820642e-06,
        9.61393151593178e-07,
        -4.0657328410773435e-07,
        -1.8935906490550923e-07,
        4.289843945787531e-08,
        2.2048852816483182e-08,
    ),
}
# from here on erfc is zero
ERFC_TOP = {abi.FLOAT32: 10.2, abi.FLOAT64: 27.5}


def erf(x: Vec) -> Vec:
    """The error function; largest errors 1.2 and 1.1 ulp."""
    size = at_most(magnitude(x), TOP[x.dtype])
    small = fma(size, polynomial(size * size, SMALL[x.dtype]), size)
    large = 1 - exp_bounded(long_polynomial(size, LARGE[x.dtype]))
    return give_sign((size < BOUND[x.dtype]).select(small, large), x)


def erfc(x: Vec) -> Vec:
    """``1 - erf(x)``, accurate also where it is small; largest errors 4.2 and 6 ulp."""
    size = at_most(magnitude(x), ERFC_TOP[x.dtype])
    shift = SCALED_SHIFT[x.dtype]
    inverse = 1 / (size + shift)
    scaled = inverse * polynomial((size - shift) * inverse, SCALED[x.dtype])
    # exp(-x**2): what rounding the square lost goes into the reduced exponent
    square, lost = two_product(size, size)
    n, r = reduce_exponent(-square)
    tail = scale(fma(exp_minus_one(r - lost), scaled, scaled), n)
    near = 1 - fma(size, polynomial(size * size, TINY[x.dtype]), size)
    near = (x < 0).select(2 - near, near)
    return (size < 0.47).select(near, (x < 0).select(2 - tail, tail))
