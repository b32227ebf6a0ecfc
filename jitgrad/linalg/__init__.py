"""``torch.linalg``: norms, inverses, factorisations and what follows from them.

Cholesky's, LU and QR factors, equations with triangles, eigenvalues, singular values and what follows from them are
operations of the table (`kernels.factorisations`), which compiled steps replay. The gradients of eigenvectors and
singular vectors are here, made of ordinary operations, so gradients of gradients work, too. Eigenvalues and singular
values of matrices with more than `_factors.SIDE` rows and columns are NumPy's (LAPACK); a compiled step that needs
those runs eagerly, as NumPy reads the values. Every function takes matrices in the last two dimensions, with any
dimensions in front, in float32 or float64.
"""

from math import nan

from ..functions import matmul, matrix_power, where
from ..functions import chain_matmul as _chain_matmul
from ..functions._call import require_tensors as _require_tensors
from ..functions._out import takes_outs as _takes_outs
from ._checks import LinAlgError
from ._cholesky import cholesky, cholesky_ex
from ._triangular import cholesky_inverse, cholesky_solve  # these are in ``torch`` itself only
from ._triangular import solve_triangular
from ._qr import qr
from ._factors import eigh, eigvalsh, svd, svdvals
from ._exponential import householder_product, matrix_exp
from ._lu import lu, lu_factor, lu_solve
from ._inverses import det, inv, lstsq, matrix_rank, pinv, slogdet, solve
from ._checked import inv_ex, lu_factor_ex, solve_ex
from ._tensors import tensorinv, tensorsolve, vander
from ._norms import cond, cross, diagonal, matrix_norm, norm, vecdot, vector_norm

__all__ = ["LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh",
           "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul",
           "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet",
           "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot",
           "vector_norm"]  # fmt: skip


def pinverse(input, rcond=1e-15):
    """`pinv` as it is called in ``torch`` itself, with the relative bound below which singular values count as 0."""
    return pinv(input, rtol=rcond)


def logdet(A):
    """The logarithm of a determinant: -inf where that is 0, nan where it is negative."""
    sign, value = slogdet(A)
    return where(sign < 0, nan, value)


def multi_dot(tensors):
    """The product of a chain of matrices, multiplied in the order that takes the fewest operations.

    Parameters
    ----------
    tensors : sequence of Tensor
        At least two. The first may be a vector, which counts as a row, and the last one, which counts as a column;
        the result has no dimension for them.

    Raises
    ------
    RuntimeError
        If there are fewer than two, another is no matrix, or shapes do not fit.
    """
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError(f"linalg.multi_dot: expected at least 2 tensors, got {len(chain)}")
    _require_tensors("linalg.multi_dot", *chain)
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    if row:
        chain[0] = chain[0].unsqueeze(0)
    if column:
        chain[-1] = chain[-1].unsqueeze(-1)
    product = _chain_matmul(*chain)
    if column:
        product = product.squeeze(-1)
    return product.squeeze(0) if row else product


# none of them is so fast that one more call would show
for _name in __all__:
    if _name not in ("LinAlgError", "cross", "diagonal", "lstsq", "matmul", "matrix_exp", "norm", "vander"):
        globals()[_name] = _takes_outs(globals()[_name])
inverse = inv  # as it is called in ``torch`` itself
