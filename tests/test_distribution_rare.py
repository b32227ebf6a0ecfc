"""F, Kumaraswamy, logistic-normal, von Mises and low-rank normal: densities, moments, samples, gradients, programs."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck, gradgradcheck

A, B = np.array([[2.5, 6.0, 3.0]]), np.array([[1.7], [5.5]])
W = np.random.default_rng(0).standard_normal((3, 2))
DIAGONAL = np.array([[0.5, 1.5, 2.0], [1.0, 0.3, 0.7]])
FAMILIES = {
    "FisherSnedecor": ((A, B), "positive"),
    "Kumaraswamy": ((A, B), "probability"),
    "LogisticNormal": ((A / 5, B / 5), "simplex"),
    "VonMises": ((A, B), "angle"),
    "LowRankMultivariateNormal": ((A[0], W, DIAGONAL), "vector"),
}
GRIDS = {
    "positive": np.exp(np.linspace(-25, 12, 20001)),
    "probability": np.linspace(0, 1, 20001)[1:-1],
    "angle": np.linspace(-np.pi, np.pi, 20001),
}
NUMBERS = [name for name, (_, kind) in FAMILIES.items() if kind in GRIDS]


def make(name, dtype=torch.float64, **options):
    return getattr(D, name)(*(torch.tensor(p, dtype=dtype) for p in FAMILIES[name][0]), **options)


def integral(y, x):
    return (0.5 * (y[1:] + y[:-1]) * np.diff(x).reshape(-1, *[1] * (y.ndim - 1))).sum(0)


@pytest.mark.parametrize("name", NUMBERS)
def test_densities_have_the_moments_that_are_told(name):
    d, x = make(name), GRIDS[FAMILIES[name][1]]
    density = np.exp(d.log_prob(torch.tensor(x[:, None, None])).numpy())
    np.testing.assert_allclose(integral(density, x), 1, atol=2e-4)
    if name == "VonMises":
        cosines = integral(density * np.cos(x[:, None, None] - d.loc.numpy()), x)
        np.testing.assert_allclose(d.variance.numpy(), 1 - cosines, rtol=1e-5)
        return
    known = ~np.isnan(d.variance.numpy())
    wide = x[:, None, None]
    mean = integral(density * wide, x)
    found, moments = d.mean.numpy(), (density * (wide - mean) ** 2)
    np.testing.assert_allclose(found[known], mean[known], rtol=1e-3)
    np.testing.assert_allclose(d.variance.numpy()[known], integral(moments, x)[known], rtol=2e-2)
    if name == "Kumaraswamy":
        np.testing.assert_allclose(d.entropy().numpy(), -integral(density * np.log(density), x), atol=1e-3)
        below = integral(density[:5001], x[:5001])
        np.testing.assert_allclose(d.cdf(torch.tensor(x[5000])).numpy(), below, atol=1e-3)
        np.testing.assert_allclose(d.icdf(d.cdf(torch.tensor(0.3))).numpy(), 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_samples_follow_the_density(name):
    torch.manual_seed(3)
    d, x = make(name), GRIDS[FAMILIES[name][1]]
    density = np.exp(d.log_prob(torch.tensor(x[:, None, None])).numpy())
    samples = d.sample((20000,)).numpy()
    for place in (5000, 10000, 15000):
        below = integral(density[: place + 1], x[: place + 1])
        np.testing.assert_allclose((samples <= x[place]).mean(0), below, atol=0.015)


def test_the_low_rank_normal_is_the_normal_with_that_covariance():
    d = make("LowRankMultivariateNormal")
    full = W @ W.T + np.apply_along_axis(np.diag, 1, DIAGONAL)
    same = D.MultivariateNormal(torch.tensor(A[0]), covariance_matrix=torch.tensor(full))
    np.testing.assert_allclose(d.covariance_matrix.numpy(), full, rtol=1e-12)
    np.testing.assert_allclose(d.precision_matrix.numpy(), np.linalg.inv(full), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(d.scale_tril.numpy(), np.linalg.cholesky(full), rtol=1e-12, atol=1e-15)
    x = same.sample((5,))
    np.testing.assert_allclose(d.log_prob(x).numpy(), same.log_prob(x).numpy(), rtol=1e-10)
    np.testing.assert_allclose(d.entropy().numpy(), same.entropy().numpy(), rtol=1e-12)
    torch.manual_seed(1)
    drawn = d.rsample((20000,)).numpy()
    for k in range(2):
        np.testing.assert_allclose(np.cov(drawn[:, k].T), full[k], atol=0.15)
    with pytest.raises(
        ValueError, match=r"cov_factor of shape \(\.\.\., D, R\), got \(3,\), \(3,\) and \(2, 2\)"
    ):
        D.LowRankMultivariateNormal(torch.zeros(3), torch.zeros(2, 2), torch.ones(3))


@pytest.mark.parametrize("name", FAMILIES)
def test_values_are_those_of_pytorch(name):
    other = pytest.importorskip("torch")
    ours = make(name)
    theirs = getattr(other.distributions, name)(*(other.tensor(p) for p in FAMILIES[name][0]))
    assert (ours.batch_shape, ours.event_shape) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    assert ours.has_rsample == theirs.has_rsample
    torch.manual_seed(0)
    x = ours.sample((6,)).numpy()
    # PyTorch's Bessel functions have seven digits there, and its probabilities are kept from zero
    tolerance = {"VonMises": 1e-6, "LogisticNormal": 1e-6}.get(name, 1e-9)
    found, expected = (d.log_prob(lib.tensor(x)).numpy() for lib, d in ((torch, ours), (other, theirs)))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    # of the Kumaraswamy distribution PyTorch gives nan as the mode also where there is one
    known = {"LogisticNormal": (), "Kumaraswamy": ("mean", "variance")}.get(
        name, ("mean", "mode", "variance")
    )
    for what in known:
        np.testing.assert_allclose(
            getattr(ours, what).numpy(), getattr(theirs, what).numpy(), rtol=max(tolerance, 1e-9)
        )


def test_the_mode_of_the_kumaraswamy_distribution_is_where_its_density_is_greatest():
    d, x = make("Kumaraswamy"), GRIDS["probability"]
    density = d.log_prob(torch.tensor(x[:, None, None])).numpy()
    np.testing.assert_allclose(d.mode.numpy(), x[density.argmax(0)], atol=1e-4)
    assert np.isnan(D.Kumaraswamy(0.5, 2.0).mode.item())


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_densities(name):
    parameters = [torch.tensor(p, requires_grad=True) for p in FAMILIES[name][0]]
    torch.manual_seed(0)
    x = make(name).sample((2,))
    family = getattr(D, name)

    def log_prob(*p):
        return family(*p, validate_args=False).log_prob(x)

    assert gradcheck(log_prob, parameters)
    if name == "LogisticNormal":
        return
    assert gradgradcheck(log_prob, parameters)


@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "VonMises"])
def test_samples_have_gradients(name):
    parameters = [torch.tensor(p, requires_grad=True) for p in FAMILIES[name][0]]
    torch.manual_seed(0)
    getattr(D, name)(*parameters).rsample((3,)).square().sum().backward()
    assert all(bool((p.grad.isfinite() & (p.grad != 0)).all()) for p in parameters)


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_dtypes_and_expansion(name):
    d = make(name, torch.float32)
    wide = d.expand((4, *d.batch_shape))
    x = wide.sample((2,))
    assert x.dtype is torch.float32
    assert x.shape == (2, 4, *d.batch_shape, *d.event_shape)
    assert wide.log_prob(x).shape == (2, 4, *d.batch_shape)
    np.testing.assert_allclose(wide.log_prob(x).numpy(), d.log_prob(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["FisherSnedecor", "Kumaraswamy", "LogisticNormal", "VonMises"])
def test_compiled_steps_give_what_eager_ones_give(name):
    first = torch.tensor(FAMILIES[name][0][0], requires_grad=True)
    second = torch.tensor(FAMILIES[name][0][1])

    def step():
        first.grad = None
        d = getattr(D, name)(first, second)
        x = d.sample((3,))
        loss = -d.log_prob(x).mean()
        loss.backward()
        return loss, x

    results = []
    for function in (step, torch.compile(step, fullgraph=True)):
        torch.manual_seed(5)
        results.append(
            [(y.item(), x.tolist(), first.grad.tolist()) for y, x in (function() for _ in range(4))]
        )
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("name", "position"), [("FisherSnedecor", 0), ("Kumaraswamy", 1), ("VonMises", 1), ("LogisticNormal", 1)]
)
def test_parameters_out_of_range_are_refused(name, position):
    parameters = [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])]
    parameters[position] = torch.tensor([1.0, -2.0])
    with pytest.raises(ValueError, match="to be greater than 0, got -2"):
        getattr(D, name)(*parameters)


def test_a_mixture_tells_its_parts_line_by_line():
    mixture = D.MixtureSameFamily(D.Categorical(torch.ones(2)), D.Normal(torch.zeros(2), 1.0))
    first, second, third = repr(mixture).split("\n")
    assert first == "MixtureSameFamily("
    assert second.startswith("  Categorical(probs: ")
    assert third == "  Normal(loc: torch.Size([2]), scale: torch.Size([2])))"
