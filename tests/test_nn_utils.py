"""Clipping gradients and turning parameters into a vector."""

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn
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
