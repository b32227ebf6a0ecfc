"""Sampling at the places of a grid: PyTorch's values and gradients, finite differences, compiled steps, errors."""

from __future__ import annotations

import itertools

import pytest
from compile_cases import Scene, assert_same
from twin_calls import fail_alike, run_both, with_gradients

import jitgrad as torch
from jitgrad import nn
from jitgrad.autograd import gradcheck, gradgradcheck
from jitgrad.kernels.grid_loops import BLOCK
from jitgrad.nn import functional as F
from jitgrad.nn.functional.grid import composed
from jitgrad.program.show.table import lines_of

PADDINGS = ("zeros", "border", "reflection")
WAYS = list(itertools.product(("bilinear", "nearest", "bicubic"), PADDINGS, (False, True)))
SHAPES = {"images": ((2, 3, 4, 5), (2, 6, 7, 2)), "one element": ((1, 2, 1, 1), (1, 3, 2, 2))}
VOLUMES = ((2, 2, 3, 4, 2), (2, 2, 3, 5, 3))


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize(("mode", "padding", "aligned"), WAYS)
def test_images_are_pytorchs(mode, padding, aligned, shapes):
    """A grid that reaches far beyond the image on all sides."""

    def script(m, t):
        x, grid = (t(*shape, grad=True) for shape in SHAPES[shapes])
        sample = m.nn.functional.grid_sample
        return with_gradients(m, lambda x, g: sample(x, 1.5 * g, mode, padding, aligned), x, grid)

    run_both(script)


@pytest.mark.parametrize(("mode", "padding", "aligned"), [w for w in WAYS if w[0] != "bicubic"])
def test_volumes_are_pytorchs(mode, padding, aligned):
    def script(m, t):
        x, grid = (t(*shape, grad=True) for shape in VOLUMES)
        sample = m.nn.functional.grid_sample
        return with_gradients(m, lambda x, g: sample(x, 1.5 * g, mode, padding, aligned), x, grid)

    run_both(script)


@pytest.mark.parametrize(("mode", "padding", "aligned"), WAYS)
def test_places_at_the_ends_have_pytorchs_gradients(mode, padding, aligned):
    """The identity: with aligned corners every place is an element, the first and last ones are the ends."""

    def script(m, t):
        functional = m.nn.functional
        grid = functional.affine_grid(m.eye(2, 3, dtype=m.float64)[None], (1, 2, 4, 5), aligned)
        x, grid = t(1, 2, 4, 5, grad=True), grid.clone().requires_grad_()
        return with_gradients(m, lambda x, g: functional.grid_sample(x, g, mode, padding, aligned), x, grid)

    run_both(script)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 1, 3), (2, 1, 3, 2, 4)])
def test_affine_grids_are_pytorchs(size, aligned):
    def script(m, t):
        theta = t(2, len(size) - 2, len(size) - 1, grad=True)
        return with_gradients(m, lambda x: m.nn.functional.affine_grid(x, size, aligned), theta)

    run_both(script)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_gradients_of_every_order(mode, padding):
    torch.manual_seed(3)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    grid = (torch.rand(1, 2, 3, 2, dtype=torch.float64) * 2.6 - 1.3).requires_grad_()
    sample = lambda x, grid: F.grid_sample(x, grid, mode, padding, False)  # noqa: E731
    assert gradcheck(sample, (x, grid))
    assert gradgradcheck(sample, (x, grid))


def test_a_compiled_spatial_transformer_equals_the_eager_one():
    def build():
        where = nn.Linear(9, 6)
        optimizer = torch.optim.Adam(where.parameters(), lr=0.05)
        images = [torch.rand(4, 1, 3, 3) for _ in range(6)]

        def step(x):
            optimizer.zero_grad()
            theta = where(x.flatten(1)).reshape(-1, 2, 3)
            moved = F.grid_sample(x, F.affine_grid(theta, x.shape, False), align_corners=False)
            loss = (moved - x).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Scene(step, lambda k: (images[k % 6],), where, optimizer)

    assert_same(build)


def test_leaving_out_align_corners_warns():
    with pytest.warns(UserWarning, match="align_corners"):
        F.grid_sample(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 1, 2))
    with pytest.warns(UserWarning, match="align_corners"):
        F.affine_grid(torch.ones(1, 2, 3), (1, 1, 2, 2))


def sample(shape, grid, *options, **kinds):
    def script(m, t):
        x = t(*shape, dtype=getattr(m, kinds.get("dtype", "float64")))
        return m.nn.functional.grid_sample(x, t(*grid), *(options or ("bilinear", "zeros", True)))

    return script


def affine(shape, size, kind="float64"):
    return lambda m, t: m.nn.functional.affine_grid(t(*shape, dtype=getattr(m, kind)), size, True)


ERRORS = {
    "mode": (sample((1, 1, 2, 2), (1, 2, 2, 2), "cubic"), "grid_sample mode bilinear 'cubic'"),
    "padding": (sample((1, 1, 2, 2), (1, 2, 2, 2), "nearest", "same"), "padding_mode zeros 'same'"),
    "batches": (sample((2, 1, 2, 2), (1, 2, 2, 2)), "grid_sampler batch [2, [1,"),
    "last": (sample((1, 1, 2, 2), (1, 2, 2, 3)), "grid_sampler size 2 last"),
    "dims": (sample((1, 2, 2), (1, 2, 2)), "grid_sampler 4D 5D [1,"),
    "volume": (sample((1, 1, 2, 2, 2), (1, 2, 2, 2, 3), "bicubic", "zeros", True), "bicubic 4D"),
    "nothing": (sample((1, 1, 0, 2), (1, 2, 2, 2)), "non-empty"),
    "dtypes": (sample((1, 1, 2, 2), (1, 2, 2, 2), dtype="float32"), "dtype float32 float64"),
    "whole theta": (affine((1, 2, 3), (1, 1, 2, 2), "int64"), "affine_grid floating int64"),
    "theta": (affine((1, 2, 2), (1, 1, 2, 2)), "affine_grid Nx2x3 (1, 2)"),
    "samples": (affine((2, 2, 3), (1, 1, 2, 2)), "affine_grid samples 1 (2, 2, 3)"),
    "size": (affine((1, 2, 3), (1, 2, 2)), "affine_grid 4D (1, 2, 2)"),
    "no size": (affine((1, 2, 3), (1, 1, 0, 2)), "affine_grid positive 0"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_does_not_fit_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_are_sampled_in_one_row(mode, dtype):
    def sample(x, grid):
        return F.grid_sample(x, grid, mode, align_corners=False)

    x, grid = torch.randn(2, 3, 4, 5, dtype=dtype), torch.rand(2, 6, 7, 2, dtype=dtype) * 3 - 1.5
    step = torch.compile(sample, fullgraph=True)
    assert [line.kernel for line in lines_of(step.program(x, grid))] == ["grid_sample"]
    assert torch.equal(step(x, grid), sample(x, grid))


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_kernel_gives_what_gathers_and_arithmetic_give(mode, padding):
    # so far out a reflected place is any place
    far, nan, inf = 30.0 if padding == "reflection" else 1e30, float("nan"), float("inf")
    grid = torch.tensor([[[[nan, 0.0], [far, 0.1]], [[-far, inf], [0.3, -0.2]]]])
    for places in (grid, torch.rand(1, 9, 11, 2) * 4 - 2, torch.zeros(1, 0, 3, 2)):
        for aligned in (False, True):
            operands = torch.randn(1, 2, 5, 3).requires_grad_(), places.clone().requires_grad_()
            found = F.grid_sample(*operands, mode, padding, aligned)
            expected = composed(*operands, mode, padding, aligned)
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
            g = torch.randn(1, 2, 1, 1).expand(*found.shape)
            if places is grid:  # gathers multiply what is outside by zero, which is no number's gradient
                continue
            pairs = zip(*(torch.autograd.grad(y, operands, g) for y in (found, expected)), strict=True)
            assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize(("mode", "dims"), [("bicubic", 2), ("bilinear", 2), ("bilinear", 3), ("nearest", 3)])
def test_images_without_channels_have_no_samples(mode, dims):
    x, grid = torch.ones(2, 0, *(3,) * dims, requires_grad=True), torch.zeros(2, *(2,) * dims, dims)
    y = F.grid_sample(x, grid, mode, align_corners=False)
    y.sum().backward()
    assert y.shape == (2, 0, *(2,) * dims)
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_places_of_several_blocks_are_those_of_each_alone(mode):
    x, grid = torch.randn(3, 2, 4, 5), torch.rand(3, 1, 2 * BLOCK + 7, 2) * 3 - 1.5
    found = F.grid_sample(x, grid, mode, align_corners=False)
    for n in range(3):
        for first in range(0, grid.shape[2], 50):
            some = F.grid_sample(
                x[n : n + 1], grid[n : n + 1, :, first : first + 50], mode, align_corners=False
            )
            assert torch.equal(found[n : n + 1, :, :, first : first + 50], some)


def test_nearest_elements_of_halves_are_the_even_ones():
    x = torch.arange(6, dtype=torch.float64).reshape(1, 1, 1, 6)
    halves = torch.tensor([0.5, 1.5, 2.5, 3.5, -0.5, 5.5], dtype=torch.float64)
    grid = torch.stack([(halves + 0.5) / 3 - 1, torch.zeros(6, dtype=torch.float64)], -1).reshape(1, 1, 6, 2)
    assert F.grid_sample(x, grid, "nearest", align_corners=False).flatten().tolist() == [0, 2, 2, 4, 0, 0]
