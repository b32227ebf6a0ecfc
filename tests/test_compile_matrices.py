"""What needs factorisations of matrices in a compiled step: it leaves, bit for bit, what an eager step leaves."""

from __future__ import annotations

import pytest
from compile_cases import Scene, assert_same, batches

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad import linalg, nn


def trained(weights, loss, inputs):
    """A step that lowers a loss of its inputs."""
    optimizer = torch.optim.Adam(weights, lr=0.01)

    def step(*given):
        optimizer.zero_grad()
        value = loss(*given)
        value.backward()
        optimizer.step()
        return value.detach()

    return Scene(step, inputs, *weights, optimizer)


def gaussian_process():
    """The marginal likelihood of a process with a squared exponential kernel."""
    scale, noise = (torch.zeros((), requires_grad=True) for _ in range(2))

    def loss(x, y):
        apart = (x - x.mT).square()
        covariance = (-apart * scale.exp()).exp() + noise.exp() * torch.eye(12)
        factor = linalg.cholesky(covariance)
        fitted = torch.cholesky_solve(y, factor)
        return 0.5 * (y.mT @ fitted).sum() + factor.diagonal().log().sum()

    return trained([scale, noise], loss, batches((12, 1), (12, 1)))


def flow_of_small_convolutions():
    """A convolution of 1 x 1 with the logarithm of its determinant, and its inverse back."""
    w = linalg.lu(torch.randn(3, 3))[0].clone().requires_grad_()

    def loss(x):
        y = nn.functional.conv2d(x, w[:, :, None, None])
        back = nn.functional.conv2d(y, linalg.inv(w)[:, :, None, None])
        return y.square().mean() - linalg.slogdet(w).logabsdet + (back - x).abs().max()

    return trained([w], loss, batches((2, 3, 4, 4)))


def kalman_filter():
    """Predictions and corrections, with the inverse of the innovations' covariance."""
    turn = torch.eye(2).requires_grad_()
    noise = torch.zeros(2, requires_grad=True)

    def loss(seen):
        state, spread, total = torch.zeros(2, 1), torch.eye(2), 0.0
        for k in range(seen.shape[0]):
            state, spread = turn @ state, turn @ spread @ turn.mT + 0.1 * torch.eye(2)
            innovation = spread + torch.diag(noise.exp())
            gain = linalg.solve(innovation, spread, left=False)
            apart = seen[k].unsqueeze(-1) - state
            state, spread = state + gain @ apart, spread - gain @ spread
            distance = (apart.mT @ linalg.solve(innovation, apart)).sum()
            total = total + torch.logdet(innovation) + distance
        return total

    return trained([turn, noise], loss, batches((4, 2)))


def normal(form):
    root, loc = (torch.eye(3) + 0.1 * torch.ones(3, 3)).requires_grad_(), torch.zeros(3, requires_grad=True)

    def loss(x):
        matrix = torch.tril(root) if form == "scale_tril" else root @ root.mT
        made = D.MultivariateNormal(loc, **{form: matrix})
        prior = D.MultivariateNormal(torch.zeros(3), torch.eye(3))
        drawn = made.rsample((5,))
        return D.kl_divergence(made, prior) - made.log_prob(x).mean() + drawn.mean() - made.entropy()

    return trained([root, loc], loss, batches((6, 3)))


def thin_normal():
    thin, loc = torch.ones(4, 2).requires_grad_(), torch.zeros(4, requires_grad=True)

    def loss(x):
        made = D.LowRankMultivariateNormal(loc, thin, torch.ones(4))
        return made.entropy() - made.log_prob(x).mean() + made.precision_matrix.sum() + made.scale_tril.sum()

    return trained([thin, loc], loss, batches((6, 4)))


def orthogonal_layer():
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="cayley")
    return trained(list(layer.parameters()), lambda x: layer(x).square().mean() + layer.weight.sum(),
                   batches((6, 4)))  # fmt: skip


def powers():
    w = (torch.randn(3, 3) + 4 * torch.eye(3)).requires_grad_()

    def loss(x):
        steps = torch.matrix_power(w, -2) @ x
        packed = linalg.lu_solve(*linalg.lu_factor(w), x)
        return steps.sum() + packed.square().sum() + linalg.tensorsolve(w, x[:, 0]).sum() + linalg.cond(w, 1)

    return trained([w], loss, batches((3, 2)))


def spectra():
    """Whitening by eigenvalues, least squares and norms by singular values, of square, tall and wide matrices."""
    root, thin = torch.randn(4, 4, requires_grad=True), torch.randn(12, 2, requires_grad=True)

    def loss(x, y):
        values, vectors = linalg.eigh(root @ root.mT + torch.eye(4))
        white = (vectors / values.sqrt().unsqueeze(-2)) @ vectors.mT
        u, s, vh = linalg.svd(x @ white)
        nearest = (u[..., :4] @ vh).square().sum() + linalg.svd(thin.mT, full_matrices=False).S.log().sum()
        norms = linalg.matrix_norm(root, "nuc") + linalg.matrix_norm(root, 2) + linalg.cond(thin)
        fitted = linalg.lstsq(thin, y).solution.square().sum() + linalg.pinv(x).sum()
        return nearest + norms + fitted + s.sum() + linalg.matrix_rank(x).sum() + linalg.eigvalsh(root).sum()

    return trained([root, thin], loss, batches((3, 6, 4), (12, 1)))


SCENES = {
    "spectra": spectra,
    "gaussian process": gaussian_process,
    "flow of small convolutions": flow_of_small_convolutions,
    "Kalman filter": kalman_filter,
    "normal by its factor": lambda: normal("scale_tril"),
    "normal by its covariance": lambda: normal("covariance_matrix"),
    "normal by its precision": lambda: normal("precision_matrix"),
    "thin normal": thin_normal,
    "orthogonal layer": orthogonal_layer,
    "powers and equations": powers,
}


@pytest.mark.parametrize("name", SCENES)
def test_compiled_steps_equal_eager_ones(name):
    assert_same(SCENES[name])
