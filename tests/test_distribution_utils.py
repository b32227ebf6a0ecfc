"""What distributions of one's own import from ``distributions.utils``."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.distributions import utils

SQUARE = np.arange(1.0, 19.0).reshape(2, 3, 3)


@pytest.mark.parametrize("diag", range(-3, 3))
def test_elements_up_to_a_diagonal_are_taken_and_put_back(diag):
    taken = utils.tril_matrix_to_vec(torch.from_numpy(SQUARE), diag)
    np.testing.assert_array_equal(taken.numpy(), SQUARE[:, *np.tril_indices(3, diag)])
    if diag > -3:  # without elements the size is not known
        back = utils.vec_to_tril_matrix(taken, diag)
        np.testing.assert_array_equal(back.numpy(), np.tril(SQUARE, diag))


def test_gradients_go_through_triangles():
    x = torch.from_numpy(SQUARE).requires_grad_()
    made = utils.vec_to_tril_matrix(utils.tril_matrix_to_vec(x, -1), -1)
    (made**3).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.tril(SQUARE, -1) ** 2)


def test_wrong_triangles_are_refused():
    for shape, diag in (((2, 3), 0), ((3,), 0), ((3, 3), 3), ((3, 3), -4)):
        with pytest.raises(ValueError, match="tril_matrix_to_vec: expected"):
            utils.tril_matrix_to_vec(torch.ones(shape), diag)
    with pytest.raises(ValueError, match="vec_to_tril_matrix: the last dimension has 4"):
        utils.vec_to_tril_matrix(torch.ones(4))


def test_a_lazy_property_is_computed_once_and_with_gradients():
    class Own:
        def __init__(self):
            self.x, self.calls = torch.ones(2, requires_grad=True), 0

        @utils.lazy_property
        def doubled(self):
            """Twice x."""
            self.calls += 1
            return self.x * 2

    own = Own()
    with torch.no_grad():
        first = own.doubled
    assert own.doubled is first and own.calls == 1 and first.requires_grad
    assert Own.doubled.__doc__ == "Twice x."


def test_a_distribution_of_ones_own_draws_and_scores():
    class Shifted(torch.distributions.Distribution):
        arg_constraints = {"loc": torch.distributions.constraints.real}
        support = torch.distributions.constraints.real
        has_rsample = True

        def __init__(self, loc):
            self.loc = loc
            super().__init__(loc.shape[:-1], loc.shape[-1:])

        def rsample(self, sample_shape=()):
            shape = self._extended_shape(sample_shape)
            return self.loc + utils._standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)

        def log_prob(self, value):
            return utils._sum_rightmost(-((value - self.loc) ** 2) / 2, 1)

    loc = torch.tensor([[1.0, 2.0]], requires_grad=True)
    own = Shifted(loc)
    x = own.rsample((5,))
    assert x.shape == (5, 1, 2) and own.log_prob(x).shape == (5, 1)
    x.sum().backward()
    assert loc.grad.tolist() == [[5.0, 5.0]]
