"""Arguments by their names: what may be given one by one, and NumPy's names, which PyTorch takes as well."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

M = [[3.0, -1.0, 2.0], [0.5, 4.0, -6.0]]
INDEX = [[0, 1, 0]]


def matrix():
    return torch.tensor(M)


# what may be given one by one or as a tuple, under the parameter's name
SHAPES = {
    "empty": lambda: (torch.empty(size=(2, 3)).zero_(), torch.zeros(2, 3)),
    "expand": lambda: (matrix().expand(size=(4, 2, 3)), matrix().expand(4, 2, 3)),
    "flip": lambda: (torch.flip(matrix(), dims=(1,)), matrix().flip(1)),
    "flip method": lambda: (matrix().flip(dims=[0, 1]), matrix().flip(0, 1)),
    "new_zeros": lambda: (matrix().new_zeros(size=(2,)), torch.zeros(2)),
    "ones": lambda: (torch.ones(size=(2, 3)), torch.ones(2, 3)),
    "permute": lambda: (torch.permute(matrix(), dims=(1, 0)), matrix().permute(1, 0)),
    "randint": lambda: (torch.randint(high=1, size=(2,)), torch.zeros(2, dtype=torch.int64)),
    "repeat": lambda: (matrix().repeat(repeats=(2, 1)), matrix().repeat(2, 1)),
    "reshape": lambda: (torch.reshape(matrix(), shape=(3, -1)), matrix().reshape(3, 2)),
    "split": lambda: (matrix().split(split_size=2, dim=1)[0], matrix().split(2, 1)[0]),
    "tile": lambda: (torch.tile(matrix(), dims=(2,)), matrix().tile(2)),
    "view": lambda: (matrix().view(size=(3, 2)), matrix().view(3, 2)),
    "zeros": lambda: (torch.zeros(size=(2, 3), dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)),
}
# functions along `axis`, which is `dim`
ALONG = {
    "aminmax": lambda x, **k: torch.aminmax(x, **k).max,
    "argsort": lambda x, **k: torch.argsort(x, **k),
    "cat": lambda x, **k: torch.cat([x, x], **k),
    "chunk": lambda x, **k: torch.chunk(x, 2, **k)[1],
    "count_nonzero": lambda x, **k: torch.count_nonzero(x > 0, **k),
    "cosine_similarity": lambda x, **k: torch.cosine_similarity(x, x + 1, **k),
    "cross": lambda x, **k: torch.cross(torch.eye(3), torch.eye(3).flip(0), **k),
    "cummax": lambda x, **k: torch.cummax(x, **k).values,
    "cummin": lambda x, **k: x.cummin(**k).indices,
    "cumprod": lambda x, **k: torch.cumprod(x, **k),
    "cumsum": lambda x, **k: x.cumsum(**k),
    "cumulative_trapezoid": lambda x, **k: torch.cumulative_trapezoid(x, **k),
    "diff": lambda x, **k: torch.diff(x, **k),
    "gather": lambda x, **k: torch.gather(x, index=torch.tensor(INDEX), **k),
    "gradient": lambda x, **k: torch.gradient(x, **k)[0],
    "index_select": lambda x, **k: torch.index_select(x, index=torch.tensor([1]), **k),
    "logcumsumexp": lambda x, **k: torch.logcumsumexp(x, **k),
    "log_softmax": lambda x, **k: torch.log_softmax(x, **k),
    "renorm": lambda x, **k: x.renorm(p=2, maxnorm=1.0, **k),
    "repeat_interleave": lambda x, **k: x.repeat_interleave(2, **k),
    "slice_scatter": lambda x, **k: torch.slice_scatter(x, x[:1, :1].expand(1, 3), start=0, end=1, **k),
    "softmax": lambda x, **k: x.softmax(**k),
    "sort": lambda x, **k: torch.sort(x, **k).indices,
    "stack": lambda x, **k: torch.stack([x, x], **k),
    "squeeze": lambda x, **k: x[:1].squeeze(**k),
    "take_along_dim": lambda x, **k: torch.take_along_dim(x, torch.tensor(INDEX), **k),
    "tensor_split": lambda x, **k: torch.tensor_split(x, 2, **k)[1],
    "topk": lambda x, **k: torch.topk(x, 1, **k).values,
    "trapezoid": lambda x, **k: torch.trapezoid(x, **k),
    "unbind": lambda x, **k: torch.unbind(x, **k)[1],
    "unsqueeze": lambda x, **k: torch.unsqueeze(x, **k),
}
# and those that drop it, unless `keepdims`
DROPPING = {
    name: getattr(torch, name)
    for name in ("all", "amax", "amin", "any", "argmax", "argmin", "logsumexp", "max", "mean", "median", "min", "mode",
                 "nanmean", "nanmedian", "nansum", "prod", "std", "std_mean", "sum", "var", "var_mean")
}  # fmt: skip
DROPPING |= {
    "kthvalue": lambda x, **k: torch.kthvalue(x, 1, **k),
    "nanquantile": lambda x, **k: torch.nanquantile(x, 0.5, **k),
    "norm": lambda x, **k: torch.linalg.norm(x, **k),
    "quantile": lambda x, **k: x.quantile(0.5, **k),
    "vector_norm": lambda x, **k: torch.linalg.vector_norm(x, **k),
}
NEED_DIM = ("cumprod", "cumsum", "log_softmax", "softmax", "unsqueeze")


def parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_and_dimensions_may_be_given_by_name(name):
    named, one_by_one = SHAPES[name]()
    assert named.dtype is one_by_one.dtype
    assert named.shape == one_by_one.shape
    np.testing.assert_array_equal(named.numpy(), one_by_one.numpy())


@pytest.mark.parametrize("name", ["flip", "permute", "tile"])
def test_sizes_or_dimensions_given_twice_are_refused(name):
    with pytest.raises(TypeError, match="multiple values for argument 'dims'"):
        getattr(torch, name)(matrix(), 0, 1, dims=(0, 1))


@pytest.mark.parametrize("name", [*ALONG, *DROPPING])
def test_axis_is_dim(name):
    call = {**ALONG, **DROPPING}[name]
    for by_dim, by_axis in zip(parts(call(matrix(), dim=0)), parts(call(matrix(), axis=0)), strict=True):
        assert by_dim.shape == by_axis.shape
        np.testing.assert_array_equal(by_dim.numpy(), by_axis.numpy())


@pytest.mark.parametrize("name", DROPPING)
def test_keepdims_is_keepdim(name):
    call = DROPPING[name]
    for short, long in zip(
        parts(call(matrix(), dim=1, keepdim=True)), parts(call(matrix(), axis=1, keepdims=True)), strict=True
    ):
        assert short.shape == long.shape == (2, 1)
        np.testing.assert_array_equal(short.numpy(), long.numpy())


@pytest.mark.parametrize("name", [*ALONG, *DROPPING])
def test_dim_and_axis_together_are_refused(name):
    call = {**ALONG, **DROPPING}[name]
    with pytest.raises(TypeError, match=rf"{name}\(\) got both 'dim' \(1\) and 'axis' \(0\)"):
        call(matrix(), dim=1, axis=0)


def test_swapaxes_takes_its_own_names():
    assert torch.swapaxes(matrix(), axis0=0, axis1=1).tolist() == matrix().t().tolist()


CUTS = {
    "tensor_split": {"sections": 2, "indices": (1, -1), "tensor_indices_or_sections": torch.tensor([1, 2])},
    "hsplit": {"sections": 2, "indices": [1]},
    "vsplit": {"sections": 2, "indices": (1, 2)},
    "dsplit": {"sections": 2, "indices": [1, 3]},
}


@pytest.mark.parametrize(("name", "cuts"), [(name, cuts) for name in CUTS for cuts in CUTS[name]])
def test_where_to_cut_goes_by_pytorch_s_names(name, cuts):
    cube = torch.arange(24.0).reshape(2, 4, 3)[:, :, :2]
    split, value = getattr(torch, name), CUTS[name][cuts]
    for named in (split(cube, **{cuts: value}), getattr(cube, name)(**{cuts: value})):
        assert [x.tolist() for x in named] == [x.tolist() for x in split(cube, value)]
    with pytest.raises(TypeError, match=rf"{name}\(\) got both 'indices_or_sections' \(2\) and '{cuts}'"):
        split(cube, 2, **{cuts: value})
    with pytest.raises(TypeError, match=rf"{name}\(\): expected .* for '{cuts}', got float"):
        split(cube, **{cuts: 2.0})


def test_a_part_by_name_of_a_dimension_by_name():
    assert torch.tensor_split(matrix(), indices=(1,), dim=1)[0].shape == (2, 1)
    assert torch.tensor_split(matrix(), sections=3, axis=1)[2].shape == (2, 1)


@pytest.mark.parametrize("name", NEED_DIM)
def test_functions_that_need_a_dimension_say_so(name):
    with pytest.raises(TypeError, match="dim"):
        getattr(torch, name)(matrix())


def test_dimensions_of_matrices_have_numpys_names():
    cube = torch.arange(12.0).reshape(2, 2, 3)
    by_name = torch.linalg.matrix_norm(cube, axis=(0, 2), keepdims=True)
    np.testing.assert_array_equal(
        by_name.numpy(), torch.linalg.matrix_norm(cube, "fro", (0, 2), True).numpy()
    )
    rows = torch.linalg.vecdot(cube, cube, axis=1)
    np.testing.assert_array_equal(rows.numpy(), (cube * cube).sum(1).numpy())
    with pytest.raises(TypeError, match="got both 'dim' \\(0\\) and 'axis'"):
        torch.quantile(cube, 0.5, 0, axis=1)


SQUARE = [[4.0, 1.0], [1.0, 3.0]]
# functions of torch.linalg whose matrix PyTorch calls `input`, where others have `A`
OF_INPUT = {
    "cholesky": {},
    "cholesky_ex": {},
    "cond": {},
    "eigh": {},
    "eigvalsh": {},
    "householder_product": {"tau": [1.0, 1.0]},
    "lstsq": {"b": SQUARE},
    "matrix_exp": {},
    "matrix_norm": {},
    "matrix_rank": {},
    "norm": {},
    "pinv": {},
    "solve_triangular": {"B": SQUARE, "upper": True},
}


@pytest.mark.parametrize("name", OF_INPUT)
def test_matrix_goes_by_pytorch_s_name(name):
    function = getattr(torch.linalg, name)
    matrix = torch.tensor(SQUARE)
    others = {n: torch.tensor(v) if isinstance(v, list) else v for n, v in OF_INPUT[name].items()}
    named, plain = function(input=matrix, **others), function(matrix, **others)
    for mine, expected in zip(named, plain, strict=True) if isinstance(plain, tuple) else [(named, plain)]:
        if expected is not None:
            torch.testing.assert_close(mine, expected)


def test_inverse_of_a_map_goes_by_pytorch_s_name():
    identity = torch.eye(4).reshape(2, 2, 2, 2)
    torch.testing.assert_close(torch.linalg.tensorinv(input=identity), identity)
