"""Distributions of one's own are expanded, and check values, by the calls that PyTorch's subclasses make."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    TransformedDistribution,
    constraints,
    transforms,
    utils,
)


class Diagonal(Independent):
    def __init__(self, loc, scale):
        super().__init__(Normal(loc, scale), 1)

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Diagonal, _instance))


class Squeezed(TransformedDistribution):
    def __init__(self, loc):
        super().__init__(Normal(loc, 1.0), [transforms.ExpTransform()])

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Squeezed, _instance))


class Two(MixtureSameFamily):
    def __init__(self, loc):
        super().__init__(Categorical(torch.ones(2)), Normal(loc, 1.0))

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Two, _instance))


class Wide(Normal):
    def __init__(self, loc):
        super().__init__(loc, 3.0)

    @utils.lazy_property
    def doubled(self):
        return 2 * self.loc

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Wide, _instance))


class Named(Categorical):
    def __init__(self, probs):
        super().__init__(probs)

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(Named, _instance))


LOC = torch.tensor([[0.5, -1.0]])
OWN = {
    "independent": (lambda: Diagonal(LOC, torch.ones(2)), torch.tensor([0.0, 1.0])),
    "transformed": (lambda: Squeezed(LOC[:, :1]), torch.tensor(2.0)),
    "mixture": (lambda: Two(LOC), torch.tensor(0.25)),
    "location and scale": (lambda: Wide(LOC[:, :1]), torch.tensor(0.25)),
    "classes": (lambda: Named(torch.tensor([[0.25, 0.75]])), torch.tensor(1)),
}


@pytest.mark.parametrize("name", OWN)
def test_a_distribution_of_ones_own_is_expanded_through_its_base(name):
    make, value = OWN[name]
    own = make()
    expanded = own.expand((3, *own.batch_shape))
    assert type(expanded) is type(own) and expanded.batch_shape == (3, *own.batch_shape)
    assert expanded.event_shape == own.event_shape
    wanted = own.log_prob(value).expand(expanded.batch_shape)
    assert torch.equal(expanded.log_prob(value), wanted)
    assert expanded.sample((2,)).shape == (2, *expanded.batch_shape, *expanded.event_shape)


def test_lazy_properties_are_computed_anew_for_another_shape():
    own = Wide(torch.ones(1))
    assert own.doubled.shape == (1,)
    assert own.expand((4,)).doubled.shape == (4,)


def test_a_class_with_its_own_init_needs_its_own_expand():
    class Narrow(Wide):
        def __init__(self):
            super().__init__(torch.zeros(2))

    with pytest.raises(NotImplementedError, match=r"Narrow.*expand"):
        Narrow().expand((3, 2))


def test_values_are_checked_by_the_name_that_subclasses_call():
    class Half(Distribution):
        arg_constraints = {}
        support = constraints.real

        def log_prob(self, value):
            if self._validate_args:
                self._validate_sample(value)
            return torch.zeros(self.batch_shape) - value

    own = Half((2,), validate_args=True)
    assert own.log_prob(torch.ones(2)).tolist() == [-1.0, -1.0]
    with pytest.raises(ValueError, match="broadcast"):
        own.log_prob(torch.ones(3))
    with pytest.raises(ValueError, match="to be a Tensor"):
        own.log_prob(1.0)
