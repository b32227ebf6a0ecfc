"""The Wishart distribution: density, moments, samples, gradients, divergences, compiled steps and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck, gradgradcheck

rng = np.random.default_rng(0)
DF = np.array([5.5, 9.0])
FACTOR = np.tril(rng.standard_normal((2, 3, 3)), -1) + np.eye(3) * [[[0.7]], [[1.3]]]
COVARIANCE = FACTOR @ FACTOR.swapaxes(-1, -2)
FORMS = {"covariance_matrix": COVARIANCE, "precision_matrix": np.linalg.inv(COVARIANCE), "scale_tril": FACTOR}


def make(form="scale_tril", dtype=torch.float64, **options):
    return D.Wishart(
        torch.tensor(DF, dtype=dtype), **{form: torch.tensor(FORMS[form], dtype=dtype)}, **options
    )


def test_of_one_row_it_is_a_gamma_distribution():
    """``df / 2`` and half of the inverse of the variance are that one's parameters."""
    df, variance = torch.tensor([0.7, 6.0], dtype=torch.float64), 2.5
    ours = D.Wishart(df, torch.full((1, 1), variance, dtype=torch.float64))
    gamma = D.Gamma(df / 2, 0.5 / variance)
    x = torch.tensor([0.3, 4.0], dtype=torch.float64)
    np.testing.assert_allclose(ours.log_prob(x[:, None, None]).numpy(), gamma.log_prob(x).numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.entropy().numpy(), gamma.entropy().numpy(), rtol=1e-12)
    for what in ("mean", "variance"):
        np.testing.assert_allclose(
            getattr(ours, what)[:, 0, 0].numpy(), getattr(gamma, what).numpy(), rtol=1e-12
        )
    assert np.isnan(ours.mode[0].item()) and ours.mode[1].item() == pytest.approx(gamma.mode[1].item())


@pytest.mark.parametrize("form", FORMS)
def test_each_of_the_three_matrices_tells_the_others(form):
    d = make(form)
    for other, expected in FORMS.items():
        np.testing.assert_allclose(getattr(d, other).numpy(), expected, rtol=1e-8, atol=1e-10)
    assert (d.batch_shape, d.event_shape) == ((2,), (3, 3))
    with pytest.raises(AttributeError, match="Wishart has no attribute 'loc'"):
        _ = d.loc


def test_samples_have_the_moments():
    torch.manual_seed(3)
    d = make()
    drawn = d.sample((40000,)).numpy()
    error = np.abs(drawn.mean(0) - DF[:, None, None] * COVARIANCE)
    assert (error < 5 * np.sqrt(d.variance.numpy() / len(drawn))).all()
    np.testing.assert_allclose(drawn.var(0), d.variance.numpy(), rtol=0.1)
    surprise = -d.log_prob(torch.tensor(drawn)).numpy()
    error = np.abs(surprise.mean(0) - d.entropy().numpy())
    assert (error < 5 * surprise.std(0) / np.sqrt(len(drawn))).all()


def test_the_density_is_greatest_at_the_mode():
    d = make()
    at_mode = d.log_prob(d.mode).numpy()
    for _ in range(20):
        step = rng.standard_normal((3, 3)) * 1e-2
        assert (d.log_prob(d.mode + torch.tensor(step @ step.T)).numpy() < at_mode).all()
        assert (d.log_prob(d.mode - torch.tensor(step @ step.T)).numpy() < at_mode).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("df", [2.001, 2.5, 400.0])
def test_samples_are_values(df, dtype):
    torch.manual_seed(1)
    d = D.Wishart(df, torch.eye(3, dtype=dtype) * 30)
    x = d.sample((200,))
    assert x.dtype is dtype and bool(D.constraints.symmetric.check(x).all())
    if df > 3 or (df > 2.1 and dtype is torch.float64):  # others may be singular within the precision
        assert bool(d.support.check(x).all()) and bool(d.log_prob(x).isfinite().all())


def test_divergences_are_the_mean_difference_of_logarithms():
    torch.manual_seed(5)
    p, q = make(), D.Wishart(7.0, torch.tensor(COVARIANCE[1]))
    x = p.sample((40000,))
    apart = (p.log_prob(x) - q.log_prob(x)).numpy()
    found = D.kl_divergence(p, q).numpy()
    assert (np.abs(apart.mean(0) - found) < 5 * apart.std(0) / np.sqrt(len(apart))).all()
    np.testing.assert_allclose(D.kl_divergence(p, make("covariance_matrix")).numpy(), 0, atol=1e-12)
    with pytest.raises(ValueError, match="matrices of one size, got 3 and 2 rows"):
        D.kl_divergence(p, D.Wishart(3.0, torch.eye(2)))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_numerical_ones(form):
    torch.manual_seed(0)
    x = make().sample((2,))
    df, matrix = torch.tensor(DF, requires_grad=True), torch.tensor(FORMS[form], requires_grad=True)

    def made(df, matrix):
        matrix = matrix.tril() if form == "scale_tril" else (matrix + matrix.mT) / 2
        return D.Wishart(df, **{form: matrix}, validate_args=False)

    assert gradcheck(lambda df, matrix: made(df, matrix).log_prob(x), (df, matrix))
    assert gradgradcheck(lambda df, matrix: made(df, matrix).log_prob(x), (df, matrix))
    for what in (D.Wishart.entropy, lambda d: d.mean, lambda d: d.variance, lambda d: d.mode):
        assert gradcheck(lambda df, matrix, what=what: what(made(df, matrix)), (df, matrix))


def test_the_density_has_a_gradient_for_its_value():
    values = torch.tensor(COVARIANCE * 3, requires_grad=True)
    assert gradcheck(lambda x: make(validate_args=False).log_prob((x + x.mT) / 2), (values,))


def test_samples_have_gradients():
    """Of the mean ``df V`` by the mean of the samples' gradients."""
    torch.manual_seed(2)
    df, factor = torch.tensor(DF, requires_grad=True), torch.tensor(FACTOR, requires_grad=True)
    D.Wishart(df, scale_tril=factor).rsample((40000,)).mean(0).sum().backward()
    np.testing.assert_allclose(df.grad.numpy(), COVARIANCE.sum((1, 2)), rtol=0.05, atol=0.05)
    expected = np.tril(2 * DF[:, None, None] * np.broadcast_to(FACTOR.sum(1, keepdims=True), FACTOR.shape))
    np.testing.assert_allclose(np.tril(factor.grad.numpy()), expected, rtol=0.05, atol=0.5)


def test_shapes_broadcast_and_expand():
    d = D.Wishart(torch.tensor([[4.0], [5.0], [6.0]]), torch.eye(3).expand(2, 3, 3))
    assert (d.batch_shape, d.sample((4,)).shape) == ((3, 2), (4, 3, 2, 3, 3))
    wide = d.expand((7, 3, 2))
    x = wide.sample()
    assert x.shape == (7, 3, 2, 3, 3) and wide.entropy().shape == (7, 3, 2)
    np.testing.assert_allclose(wide.log_prob(x).numpy(), d.log_prob(x).numpy(), rtol=1e-5)
    assert d.sample((0,)).shape == (0, 3, 2, 3, 3) and d.log_prob(d.sample((0,))).shape == (0, 3, 2)
    turned = torch.tensor(COVARIANCE).permute(2, 0, 1).contiguous().permute(1, 2, 0)
    np.testing.assert_array_equal(D.Wishart(5.0, turned).mean.numpy(), 5 * COVARIANCE)


def test_compiled_steps_give_what_eager_ones_give():
    df = torch.tensor(DF, requires_grad=True)
    factor = torch.tensor(FACTOR)

    def step():
        df.grad = None
        d = D.Wishart(df, scale_tril=factor)
        x = d.rsample((3,))
        loss = -d.log_prob(x.detach()).mean() + d.entropy().sum() + x.mean()
        loss.backward()
        return loss.detach(), x.detach()

    results = []
    for function in (step, torch.compile(step, fullgraph=True)):
        torch.manual_seed(5)
        results.append([(y.item(), x.tolist(), df.grad.tolist()) for y, x in (function() for _ in range(4))])
    assert results[0] == results[1]


REFUSED = {
    "no matrix": (lambda: D.Wishart(3.0), AssertionError, "got none"),
    "two matrices": (
        lambda: D.Wishart(3.0, torch.eye(2), torch.eye(2)),
        AssertionError,
        "got covariance_matrix, precision_matrix",
    ),
    "a vector": (lambda: D.Wishart(3.0, torch.ones(2)), ValueError, "at least two dimensions"),
    "few degrees": (
        lambda: D.Wishart(2.0, torch.eye(3)),
        ValueError,
        "greater than 2, for matrices of 3 rows, got 2",
    ),
    "not definite": (lambda: D.Wishart(3.0, -torch.eye(2)), ValueError, "a positive definite matrix"),
    "a value": (lambda: make().log_prob(-torch.eye(3).double()), ValueError, "a positive definite matrix"),
    "a value's shape": (lambda: make().log_prob(torch.eye(2)), ValueError, "to broadcast with the shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_impossible_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_pytorch(form):
    other = pytest.importorskip("torch")
    ours = make(form)
    theirs = other.distributions.Wishart(other.tensor(DF), **{form: other.tensor(FORMS[form])})
    torch.manual_seed(0)
    x = ours.sample((6,)).numpy()
    found, expected = (d.log_prob(lib.tensor(x)).numpy() for lib, d in ((torch, ours), (other, theirs)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for what in ("mean", "mode", "variance"):
        np.testing.assert_allclose(getattr(ours, what).numpy(), getattr(theirs, what).numpy(), rtol=1e-9)
    np.testing.assert_allclose(ours.entropy().numpy(), theirs.entropy().numpy(), rtol=1e-9)
    assert ours.has_rsample == theirs.has_rsample
    assert set(ours.arg_constraints) == set(theirs.arg_constraints)
