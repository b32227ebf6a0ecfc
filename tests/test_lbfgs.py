"""L-BFGS and its line search."""

import copy

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.optim._line_search import Point, strong_wolfe


def minimizer(loss, *starts, **options):
    params = [jg.tensor(np.array(s, dtype=float), requires_grad=True) for s in starts]
    optimizer = jg.optim.LBFGS(params, **options)

    def closure():
        optimizer.zero_grad()
        value = loss(*params)
        value.backward()
        return value

    return params, optimizer, closure


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_a_quadratic_is_solved_exactly_in_few_iterations():
    a = np.array([[3.0, 1.0], [1.0, 2.0]])
    b = np.array([1.0, -1.0])

    def loss(x, y):
        z = jg.cat([x.reshape(-1), y])
        return (z @ (jg.tensor(a) @ z)) / 2 - (z * jg.tensor(b)).sum()

    (x, y), optimizer, closure = minimizer(loss, [[4.0]], [-3.0], line_search_fn="strong_wolfe")
    optimizer.step(closure)
    np.testing.assert_allclose([x.item(), y.item()], np.linalg.solve(a, b), atol=1e-6)
    assert optimizer.state[x]["n_iter"] <= 8


def test_rosenbrocks_valley_is_followed_to_its_end():
    (x,), optimizer, closure = minimizer(rosenbrock, [-1.2, 1.0], max_iter=100, line_search_fn="strong_wolfe")
    first = optimizer.step(closure)
    assert first.item() == pytest.approx(24.2)
    np.testing.assert_allclose(x.tolist(), [1.0, 1.0], atol=1e-4)
    assert optimizer.state[x]["func_evals"] < 80


def test_without_line_search_the_steps_have_the_length_of_the_rate():
    (x,), optimizer, closure = minimizer(
        lambda x: (x**2).sum(), [1.0, -2.0], lr=0.5, max_iter=1, tolerance_change=0.0
    )
    optimizer.step(closure)
    # the first step is a gradient step of length min(1, 1 / |g|_1) times the rate
    np.testing.assert_allclose(x.tolist(), [1 - 2 / 6 * 0.5, -2 + 4 / 6 * 0.5])
    assert optimizer.state[x]["func_evals"] == 1


def test_it_stops_at_once_where_the_gradient_is_zero():
    (x,), optimizer, closure = minimizer(lambda x: (x**2).sum(), [0.0, 0.0])
    assert optimizer.step(closure).item() == 0.0
    assert optimizer.state[x]["n_iter"] == 0


def test_the_history_is_limited():
    (x,), optimizer, closure = minimizer(
        rosenbrock, [-1.2, 1.0], history_size=3, max_iter=15, line_search_fn="strong_wolfe"
    )
    optimizer.step(closure)
    assert len(optimizer.state[x]["old_dirs"]) == len(optimizer.state[x]["ro"]) == 3


def test_evaluations_are_limited():
    (x,), optimizer, closure = minimizer(
        rosenbrock, [-1.2, 1.0], max_iter=100, max_eval=7, line_search_fn="strong_wolfe"
    )
    optimizer.step(closure)
    assert 7 <= optimizer.state[x]["func_evals"] <= 9


def test_training_continues_from_a_saved_state():
    options = {"max_iter": 4, "line_search_fn": "strong_wolfe"}
    (x,), optimizer, closure = minimizer(rosenbrock, [-1.2, 1.0], **options)
    optimizer.step(closure)
    (y,), twin, twin_closure = minimizer(rosenbrock, x.tolist(), **options)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.step(closure)
    twin.step(twin_closure)
    assert y.tolist() == x.tolist()


def test_a_parameter_without_gradient_does_not_move():
    (x, y), optimizer, closure = minimizer(lambda x, y: (x**2).sum(), [1.0], [5.0])
    optimizer.step(closure)
    assert y.item() == 5.0
    assert abs(x.item()) < 1e-3


def test_misuse_is_an_error():
    p, q = (jg.tensor([1.0], requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        jg.optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(TypeError, match="needs a closure"):
        jg.optim.LBFGS([p]).step(None)
    _, optimizer, closure = minimizer(lambda x: (x**2).sum(), [1.0], line_search_fn="armijo")
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported, got line_search_fn='armijo'"):
        optimizer.step(closure)


@pytest.mark.parametrize("first", [1e-3, 0.3, 1.0, 8.0, 300.0])
@pytest.mark.parametrize(
    ("f", "df"),
    [
        (lambda t: (t - 2) ** 2, lambda t: 2 * (t - 2)),
        (lambda t: (t - 2) ** 4 + t, lambda t: 4 * (t - 2) ** 3 + 1),
        (lambda t: -np.sin(t), lambda t: -np.cos(t)),
        (lambda t: np.exp(t) - 3 * t, lambda t: np.exp(t) - 3),
    ],
)
def test_the_point_found_meets_the_wolfe_conditions(f, df, first):
    def at(t):
        with np.errstate(over="ignore"):
            return Point(t, float(f(t)), None, float(df(t)))

    start = at(0.0)
    found = strong_wolfe(at, first, start, 1.0, 60)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
