"""First values of parameters: bounds, moments, structure, generators and errors."""

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn
from jitgrad.nn import init

ROOT_2 = math.sqrt(2)


def values(tensor):
    return tensor.detach().numpy()


# fill, deviation expected, largest absolute value (None for a normal distribution); shape (300, 200)
SPREADS = {
    "uniform": (lambda w: init.uniform_(w, -2, 2), 2 / math.sqrt(3), 2),
    "normal": (lambda w: init.normal_(w, 0, 3.0), 3.0, None),
    "xavier_uniform": (init.xavier_uniform_, math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "xavier_uniform gain": (
        lambda w: init.xavier_uniform_(w, 2.0),
        2 * math.sqrt(2 / 500),
        2 * math.sqrt(6 / 500),
    ),
    "xavier_normal": (init.xavier_normal_, math.sqrt(2 / 500), None),
    "kaiming_uniform": (init.kaiming_uniform_, ROOT_2 / math.sqrt(200), math.sqrt(6 / 200)),
    "kaiming_uniform out": (
        lambda w: init.kaiming_uniform_(w, mode="fan_out", nonlinearity="linear"),
        1 / math.sqrt(300),
        math.sqrt(3 / 300),
    ),
    "kaiming_uniform a": (
        lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)),
        1 / math.sqrt(600),
        1 / math.sqrt(200),
    ),
    "kaiming_normal": (
        lambda w: init.kaiming_normal_(w, nonlinearity="relu"),
        ROOT_2 / math.sqrt(200),
        None,
    ),
    "kaiming_normal out": (
        lambda w: init.kaiming_normal_(w, mode="fan_out"),
        ROOT_2 / math.sqrt(300),
        None,
    ),
    "trunc_normal": (init.trunc_normal_, 0.8796, 2),
    "trunc_normal wide": (lambda w: init.trunc_normal_(w, std=0.02, a=-9.0, b=9.0), 0.02, 0.2),
}


@pytest.mark.parametrize("label", SPREADS)
def test_mean_deviation_and_bounds(label):
    fill, deviation, bound = SPREADS[label]
    jg.manual_seed(11)
    weight = nn.Parameter(jg.empty(300, 200))
    assert fill(weight) is weight
    found = values(weight).astype(np.float64)
    assert abs(found.mean()) < 0.02 * deviation
    assert found.std() == pytest.approx(deviation, rel=0.02)
    if bound is not None:
        assert np.abs(found).max() <= bound * (1 + 1e-6)
        assert deviation < 0.1 or np.abs(found).max() > bound * 0.98
    assert weight.requires_grad and weight.is_leaf and weight.grad_fn is None


def test_fans_count_the_receptive_field():
    weight = jg.empty(4, 6, 3, 5)
    bound = math.sqrt(6 / (6 * 15 + 4 * 15))
    assert np.abs(values(init.xavier_uniform_(weight))).max() <= bound * (1 + 1e-6)


def test_linear_starts_within_one_over_root_of_its_inputs():
    jg.manual_seed(0)
    layer = nn.Linear(64, 500)
    for parameter in layer.parameters():
        assert 0.97 / 8 < np.abs(values(parameter)).max() <= 1 / 8 + 1e-7
    assert nn.Bilinear(16, 9, 2).weight.abs().max().item() <= 0.25


def test_constants():
    weight = nn.Parameter(jg.empty(3, 4))
    assert (values(init.constant_(weight, 0.3)) == np.float32(0.3)).all()
    assert (values(init.ones_(weight)) == 1).all()
    assert (values(init.zeros_(weight)) == 0).all()
    np.testing.assert_array_equal(values(init.eye_(weight)), np.eye(3, 4))


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape):
    jg.manual_seed(2)
    weight = jg.empty(shape, dtype=jg.float64)
    assert init.orthogonal_(weight, gain=3.0) is weight
    matrix = values(weight).reshape(shape[0], -1) / 3.0
    square = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(square, np.eye(len(square)), atol=1e-12)


def test_orthogonal_signs_are_even():
    jg.manual_seed(4)
    corners = [values(init.orthogonal_(jg.empty(2, 2)))[0, 0] for _ in range(200)]
    assert 60 < sum(c > 0 for c in corners) < 140


def test_sparse_zeroes_a_fraction_of_every_column():
    jg.manual_seed(5)
    weight = jg.empty(10, 30)
    init.sparse_(weight, 0.25, std=0.5)
    assert ((values(weight) == 0).sum(0) == 3).all()
    assert values(weight)[values(weight) != 0].std() == pytest.approx(0.5, rel=0.2)
    places = {tuple(np.flatnonzero(column == 0)) for column in values(weight).T}
    assert len(places) > 10


@pytest.mark.parametrize("a, b", [(1.0, 2.0), (-0.5, 3.0), (-3.0, -1.5)])
def test_trunc_normal_has_the_right_distribution(a, b):
    jg.manual_seed(6)
    found = np.sort(values(init.trunc_normal_(jg.empty(20000, dtype=jg.float64), 0.2, 1.1, a, b)))
    assert found[0] >= a and found[-1] <= b

    def cdf(x):
        return 0.5 * (1 + math.erf((x - 0.2) / (1.1 * ROOT_2)))

    expected = [(cdf(x) - cdf(a)) / (cdf(b) - cdf(a)) for x in found]
    assert np.abs(np.arange(20000) / 20000 - expected).max() < 0.015


def test_trunc_normal_far_from_its_mean_warns():
    with pytest.warns(UserWarning, match="more than 2 std"):
        found = values(init.trunc_normal_(jg.empty(100), mean=9.0, a=-2.0, b=2.0))
    assert (np.abs(found) <= 2).all()


RANDOM = {
    "uniform_": init.uniform_,
    "normal_": init.normal_,
    "trunc_normal_": init.trunc_normal_,
    "xavier_uniform_": init.xavier_uniform_,
    "xavier_normal_": init.xavier_normal_,
    "kaiming_uniform_": init.kaiming_uniform_,
    "kaiming_normal_": init.kaiming_normal_,
    "orthogonal_": init.orthogonal_,
    "sparse_": lambda w, generator: init.sparse_(w, 0.3, generator=generator),
}


@pytest.mark.parametrize("label", RANDOM)
def test_generator_decides_the_numbers(label):
    def draw(seed):
        generator = jg.Generator()
        generator.manual_seed(seed)
        return values(RANDOM[label](jg.empty(6, 5), generator=generator))

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_manual_seed_decides_a_models_first_values():
    def model():
        jg.manual_seed(3)
        return [values(p) for p in nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2)).parameters()]

    for first, second in zip(model(), model(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "name, param, expected",
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("conv_transpose3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, ROOT_2),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 0.5, math.sqrt(2 / 1.25)),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, expected):
    assert init.calculate_gain(name, param) == pytest.approx(expected)


BAD = {
    "gain": lambda: init.calculate_gain("softmax"),
    "slope": lambda: init.calculate_gain("leaky_relu", "x"),
    "slope bool": lambda: init.calculate_gain("leaky_relu", True),
    "xavier 1-D": lambda: init.xavier_uniform_(jg.empty(3)),
    "xavier normal 1-D": lambda: init.xavier_normal_(jg.empty(3)),
    "kaiming 1-D": lambda: init.kaiming_normal_(jg.empty(3)),
    "kaiming mode": lambda: init.kaiming_uniform_(jg.empty(3, 3), mode="fan"),
    "eye 3-D": lambda: init.eye_(jg.empty(2, 2, 2)),
    "orthogonal 1-D": lambda: init.orthogonal_(jg.empty(2)),
    "sparse 3-D": lambda: init.sparse_(jg.empty(2, 2, 2), 0.1),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_arguments_are_refused(label):
    with pytest.raises(ValueError):
        BAD[label]()


def test_nothing_to_fill():
    with pytest.warns(UserWarning, match="zero-element"):
        assert init.kaiming_uniform_(jg.empty(0, 3)).shape == (0, 3)
    with pytest.warns(UserWarning, match="zero-element"):
        layer = nn.Linear(0, 2)
    assert (values(layer.bias) == 0).all()
    assert init.orthogonal_(jg.empty(0, 3)).shape == (0, 3)


def test_names_without_an_underscore_warn_and_write():
    weight = jg.zeros(2, 2)
    with pytest.warns(FutureWarning, match=r"nn.init.constant is the older name of nn.init.constant_"):
        assert init.constant(weight, 3.0) is weight
    assert weight.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    for name in ("trunc_normal", "nothing", "_private"):
        assert not hasattr(init, name)
