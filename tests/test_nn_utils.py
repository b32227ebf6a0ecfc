"""Clipping gradients and turning parameters into a vector."""

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn
from jitgrad.functions.norms import total_norm
from jitgrad.nn import utils

GRADIENTS = (np.array([[3.0, -4.0], [0.0, 1.0]]), np.array([12.0, -2.0]))


def parameters():
    made = [nn.Parameter(jg.zeros(*g.shape, dtype=jg.float64)) for g in GRADIENTS]
    for parameter, gradient in zip(made, GRADIENTS, strict=True):
        parameter.grad = jg.tensor(gradient)
    return [*made, nn.Parameter(jg.zeros(2))]  # the last has no gradient


@pytest.mark.parametrize("norm_type", [1, 2, 2.0, 3, math.inf, "inf"])
@pytest.mark.parametrize("max_norm", [0.5, 6, 1e6])
def test_clip_grad_norm(norm_type, max_norm):
    made = parameters()
    every = np.concatenate([g.ravel() for g in GRADIENTS])
    total = np.linalg.norm(every, float(norm_type))
    found = utils.clip_grad_norm_(made, max_norm, norm_type)
    assert found.item() == pytest.approx(total, rel=1e-12)
    factor = min(1.0, max_norm / (total + 1e-6))
    for parameter, gradient in zip(made, GRADIENTS, strict=False):
        np.testing.assert_allclose(parameter.grad.numpy(), gradient * factor, rtol=1e-12)
    assert made[2].grad is None


def test_the_old_name_of_clip_grad_norm_clips_with_a_warning():
    made = parameters()
    with pytest.warns(FutureWarning, match="deprecated in favor of `torch.nn.utils.clip_grad_norm_`"):
        assert utils.clip_grad_norm(made[1], 1.0).item() == pytest.approx(math.hypot(12, 2))
    assert made[1].grad.norm().item() == pytest.approx(1.0, 1e-5)


def test_clip_takes_one_tensor_an_iterator_or_nothing():
    assert utils.clip_grad_norm_(parameters()[1], 1.0).item() == pytest.approx(math.hypot(12, 2))
    made = parameters()
    utils.clip_grad_norm_(iter(made), 1.0)
    assert abs(made[0].grad).sum().item() < 1
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    assert utils.clip_grad_norm_(parameters()[2], 1.0).item() == 0.0


LISTS = {
    "one": [(5,)],
    "many small ones": [(k, 3) for k in range(1, 40)],
    "empty ones": [(0, 3), (2,), (0,)],
    "without dimensions": [(), (4,)],
    "a large one": [(300, 301), (7,)],
    "long sums": [(32, 1024), (32, 1000)],
}
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.t().contiguous().t() if x.ndim == 2 else x,
    "every other": lambda x: jg.cat([x, x], -1)[..., ::2] if x.ndim and x.numel() else x,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shapes", LISTS.values(), ids=LISTS)
def test_the_norm_of_many_gradients_is_that_of_all_their_elements(shapes, layout, dtype):
    rng = np.random.default_rng(0)
    given = [LAYOUTS[layout](jg.tensor(rng.standard_normal(shape).astype(dtype))) for shape in shapes]
    before = [x.numpy().copy() for x in given]
    total = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in before))
    rtol = 1e-5 if dtype == "float32" else 1e-13
    assert utils.get_total_norm(given).item() == pytest.approx(total, rel=rtol)
    made = [nn.Parameter(jg.zeros(*shape, dtype=getattr(jg, dtype))) for shape in shapes]
    for p, g in zip(made, given, strict=True):
        p.grad = g
    utils.clip_grad_norm_(made, total / 3)
    for p, g in zip(made, before, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g / 3, rtol=1e-5)


def test_gradients_of_several_dtypes_are_clipped_together():
    made = [nn.Parameter(jg.zeros(3)), nn.Parameter(jg.zeros(2, dtype=jg.float64)), nn.Parameter(jg.zeros(3))]
    for p in made:
        p.grad = jg.ones_like(p)
    assert utils.clip_grad_norm_(made, 1.0).item() == pytest.approx(math.sqrt(8))
    for p in made:
        np.testing.assert_allclose(p.grad.numpy(), math.sqrt(1 / 8), rtol=1e-5)
        assert p.grad.dtype == p.dtype


def test_a_total_norm_wants_no_gradient():
    x = jg.ones(3, requires_grad=True)
    assert not utils.get_total_norm([x, x * 2]).requires_grad
    assert not total_norm([x, x * 2]).requires_grad


@pytest.mark.parametrize("threads", [1, 2])
def test_a_compiled_step_clips_as_an_eager_one(threads):
    def trained(wrap):
        jg.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 300), nn.Tanh(), nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 2))
        optimizer = jg.optim.SGD(model.parameters(), lr=0.5)
        x, y = jg.randn(16, 5), jg.randn(16, 2)

        def step(x, y):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            total = utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            return total

        made = wrap(step)
        norms = [made(x, y).item() for _ in range(6)]
        return norms, [p.detach().numpy() for p in model.parameters()], made

    before = jg.get_num_threads()
    jg.set_num_threads(threads)
    try:
        norms, weights, _ = trained(lambda step: step)
        options = {"partial_sums": False}
        found, moved, made = trained(lambda step: jg.compile(step, fullgraph=True, options=options))
    finally:
        jg.set_num_threads(before)
    assert norms == found
    for a, b in zip(weights, moved, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(made.programs) == 1


def test_a_small_models_total_norm_is_one_row():
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))

    def step(x):
        model.zero_grad()
        model(x).sum().backward()
        return utils.clip_grad_norm_(model.parameters(), 0.1)

    made = jg.compile(step, fullgraph=True)
    rows = [row.kernel for row in made.program(jg.randn(3, 5)).rows]
    assert sum(name.startswith("total_norm") for name in rows) == 1
    assert not any(name.startswith(("sum_of_squares", "cat")) for name in rows)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clip_refuses_nonfinite_gradients_if_asked(bad):
    made = parameters()
    made[1].grad[0] = bad
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(made, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(made[0].grad.numpy(), GRADIENTS[0])


def test_clip_grad_value():
    made = parameters()
    utils.clip_grad_value_(made, 2.5)
    for parameter, gradient in zip(made, GRADIENTS, strict=False):
        np.testing.assert_array_equal(parameter.grad.numpy(), np.clip(gradient, -2.5, 2.5))


def test_parameters_to_vector_and_back():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    identities = [id(p) for p in model.parameters()]
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (13,) and vector.requires_grad
    np.testing.assert_array_equal(
        vector.detach().numpy(), np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])
    )
    utils.vector_to_parameters(jg.arange(13).float(), model.parameters())
    assert [id(p) for p in model.parameters()] == identities
    assert model[0].weight.tolist() == [[0, 1], [2, 3], [4, 5]] and model[1].bias.tolist() == [12]
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_vector_to_parameters_refuses_and_changes_nothing():
    model = nn.Linear(2, 1)
    before = model.weight.tolist()
    with pytest.raises(TypeError):
        utils.vector_to_parameters([1.0], model.parameters())
    with pytest.raises(RuntimeError, match=r"3 elements, the vector 2"):
        utils.vector_to_parameters(jg.ones(2), model.parameters())
    assert model.weight.tolist() == before
