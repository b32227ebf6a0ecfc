"""Kernels: what the engine can compute. The engine names no operation; this package knows no engine.

``table`` holds the declarations, ``stage`` the language in which kernels are written, ``compiler`` and ``cache``
turn them into native code once per machine. Importing this package fills the table.
"""

from . import (
    elementwise,
    comparison,
    float_bits,
    special,
    special_bessel,
    bessel,
    bessel_decaying,
    airy,
    erfcx,
    polynomials,
    normal_tail,
    special_gamma,
    activations,
    pointwise_losses,
    reductions,
)
from . import (
    softmax,
    squared_loss,
    total_norm,
    cross_entropy,
    cross_entropy_weighted,
    class_margins,
    class_likelihood,
    value_checks,
    random,
    dropout,
)
from . import row_norm, channel_norm
from . import movement, products, selection
from . import recurrent_input, recurrent_layers, ctc
from . import convolution
from . import gamma_draws, indexing, scans, scatter_extremes, sorting, histograms
from . import cross_products, factorisations
from . import (
    grids,
    line_maps,
    max_pooling,
    mean_pooling,
    padding,
    pair_distances,
    pair_pooling,
    window_places,
)
from . import attention, embedding, embedding_bag
from .abi import DTYPE_NAMES
from .table import BY_NAME, OPS

# what the engine needs by itself
ROLES = {"sum_op": "sum", "add_op": "add", "copy_op": "copy", "cast_op": f"to_{DTYPE_NAMES[0]}"}

__all__ = ["BY_NAME", "OPS", "ROLES", "activations", "elementwise", "pointwise_losses", "reductions"]
