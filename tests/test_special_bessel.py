"""Bessel, Airy and scaled error functions of ``special``: values, SciPy's, limits, gradients, compiled steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import special

INF, NAN = math.inf, math.nan

# values of 40 digits, rounded to float64
VALUES = {
    "airy_ai": {
        -20.5: -0.04462568039701191,
        -4.25: 0.12778292722826728,
        -3.75: -0.2516127030142227,
        -2.25: 0.06159865877700528,
        -0.5: 0.4757280916105396,
        0.5: 0.23169360648083348,
        1.75: 0.05056988080579487,
        2.25: 0.023654658557747447,
        5.5: 3.368531190859981e-05,
        8: 4.6922076160992316e-08,
    },
    "bessel_j0": {
        -30.5: -0.01938975451776215,
        -7.75: 0.22523406912010668,
        -0.25: 0.9844359292958527,
        0.125: 0.9960975630419852,
        2.5: -0.048383776468198,
        4.75: -0.25512082749137394,
        7.75: 0.22523406912010668,
        8.25: 0.10920747150610137,
        15.5: -0.10923065090005017,
        100.25: 0.038427302481501335,
    },
    "bessel_j1": {
        -30.5: 0.14349430015097095,
        -7.75: -0.1916025921891178,
        -0.25: -0.12402597732272692,
        0.125: 0.062378009134494684,
        2.5: 0.49709410246427405,
        4.75: -0.2891867986471104,
        7.75: 0.1916025921891178,
        8.25: 0.2622035519927438,
        15.5: 0.16721318035174715,
        100.25: -0.06962028467960972,
    },
    "bessel_y0": {
        0.0078125: -3.1626447244253426,
        0.25: -0.9315730249300587,
        0.875: -0.016508230225285088,
        2.25: 0.5200647624572783,
        4.75: -0.2612325032349756,
        7.75: 0.17676987751364717,
        8.25: 0.2551496050986449,
        15.5: 0.17064491122943462,
        100.25: -0.06981106912601158,
    },
    "bessel_y1": {
        0.0078125: -81.50092845048293,
        0.25: -2.7041052293152825,
        0.875: -0.897937742614081,
        2.25: 0.02719205773801714,
        4.75: 0.22922559673872217,
        7.75: -0.21433222865940804,
        8.25: -0.0939944870646345,
        15.5: 0.11478614251334232,
        100.25: -0.03877595658074313,
    },
    "erfcx": {
        -25.25: 1.5520496639383106e277,
        -9.125: 2.902895922731152e36,
        -3.5: 417962.4224457703,
        -0.25: 1.358642370104722,
        0.125: 0.8732218450821508,
        1.5: 0.3215854164543175,
        3.75: 0.14558972127503855,
        12.5: 0.04499209900102792,
        250: 0.002256740280557632,
    },
    "modified_bessel_k0": {
        0.0078125: 4.9680528438244425,
        0.25: 1.5415067512483027,
        1.5: 0.21380556264752573,
        1.875: 0.1329048390345923,
        2.25: 0.08404311197465811,
        5.5: 0.0021387085659502875,
        8.25: 0.0001123775092026635,
        20.5: 3.440008581708598e-10,
    },
    "modified_bessel_k1": {
        0.0078125: 127.97864058898831,
        0.25: 3.7470259744407115,
        1.5: 0.2773878004568438,
        1.875: 0.16508225585016484,
        2.25: 0.10121630256832526,
        5.5: 0.0023255690088490053,
        8.25: 0.00011900307866009921,
        20.5: 3.522934478711248e-10,
    },
    "scaled_modified_bessel_k0": {
        0.0078125: 5.007017765205329,
        0.25: 1.9793338485985688,
        1.5: 0.9582100532948965,
        1.875: 0.8666484155611652,
        2.25: 0.7973788452810561,
        5.5: 0.5233247315524157,
        8.25: 0.4301390559732155,
        20.5: 0.27516703550431326,
    },
    "scaled_modified_bessel_k1": {
        0.0078125: 128.98238950747682,
        0.25: 4.811276588171025,
        1.5: 1.243165873552553,
        1.875: 1.0764715303749826,
        2.25: 0.960313541101207,
        5.5: 0.5690479743890509,
        8.25: 0.45549925671024005,
        20.5: 0.2818002960624662,
    },
    "spherical_bessel_j0": {
        -30.5: -0.02600417178548476,
        -7.75: 0.12833532633692596,
        -0.25: 0.9896158370180917,
        0.125: 0.9973978670818215,
        2.5: 0.2393888576415826,
        4.75: -0.2103774292579743,
        7.75: 0.12833532633692596,
        8.25: 0.11183081336234428,
        15.5: 0.013320482705664296,
        100.25: -0.0027659137800982673,
    },
}
WAVES = ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "spherical_bessel_j0")

# at 0, -0, inf, -inf, nan, -1
LIMITS = {
    "airy_ai": [0.35502805388781724, 0.35502805388781724, 0.0, NAN, NAN, 0.5355608832923521],
    "bessel_j0": [1.0, 1.0, NAN, NAN, NAN, 0.7651976865579666],
    "bessel_j1": [0.0, -0.0, NAN, NAN, NAN, -0.44005058574493355],
    "bessel_y0": [-INF, -INF, NAN, NAN, NAN, NAN],
    "bessel_y1": [-INF, -INF, NAN, NAN, NAN, NAN],
    "erfcx": [1.0, 1.0, 0.0, INF, NAN, 5.00898008076228],
    "modified_bessel_k0": [INF, INF, 0.0, NAN, NAN, NAN],
    "modified_bessel_k1": [INF, INF, 0.0, NAN, NAN, NAN],
    "scaled_modified_bessel_k0": [INF, INF, 0.0, NAN, NAN, NAN],
    "scaled_modified_bessel_k1": [INF, INF, 0.0, NAN, NAN, NAN],
    "spherical_bessel_j0": [1.0, 1.0, 0.0, 0.0, NAN, 0.8414709848078965],
}
UNDERIVABLE = [name for name in VALUES if name != "erfcx"]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values(name, dtype):
    x = np.array([*VALUES[name]], dtype)
    expected = np.array([*VALUES[name].values()])
    found = getattr(special, name)(torch.tensor(x))
    assert found.dtype is getattr(torch, dtype)
    # near zeros of a wave the error is one of the wave's height; the arguments are numbers of float32
    scale = np.maximum(np.abs(expected), 0.2 / np.sqrt(1 + np.abs(x))) if name in WAVES else np.abs(expected)
    usual = np.abs(expected) < np.finfo(dtype).max
    error = np.abs(found.numpy() - expected)[usual] / scale[usual]
    assert error.max() < 400 * np.finfo(dtype).eps, x[usual][error.argmax()]


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name):
    found = getattr(special, name)(
        torch.tensor([0.0, -0.0, INF, -INF, NAN, -1.0], dtype=torch.float64)
    ).numpy()
    np.testing.assert_allclose(found, LIMITS[name], rtol=1e-14)
    assert np.signbit(found[1]) == np.signbit(LIMITS[name][1])


@pytest.mark.parametrize("zero", [2.404825557695773, 5.520078110286311])
def test_functions_of_the_first_kind_keep_their_digits_near_zeros(zero):
    slope = -special.bessel_j1(torch.tensor(zero, dtype=torch.float64)).item()
    found = special.bessel_j0(torch.tensor([zero - 1e-7, zero + 1e-7], dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), [-1e-7 * slope, 1e-7 * slope], rtol=1e-6)


def test_the_modified_functions_of_the_first_kind_have_two_names():
    x = torch.linspace(-12, 12, 7)
    assert torch.equal(special.modified_bessel_i0(x), special.i0(x))
    assert torch.equal(special.modified_bessel_i1(x), special.i1(x))


@pytest.mark.parametrize("name", VALUES)
def test_operands_of_all_kinds(name):
    call = getattr(special, name)
    x = torch.linspace(0.3, 9.0, 12).reshape(3, 4)
    whole = call(x)
    np.testing.assert_array_equal(call(x.t()).numpy(), whole.numpy().T)
    assert tuple(call(torch.ones(0, 3)).shape) == (0, 3)
    assert call(torch.tensor([1, 2])).dtype is torch.float32
    out = torch.empty(3, 4)
    assert call(x, out=out) is out and torch.equal(out, whole)
    with pytest.raises(TypeError, match=name):
        call([1.0])


@pytest.mark.parametrize("name", UNDERIVABLE)
def test_a_walk_back_is_an_error(name):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"derivative for {name} is not implemented; detach"):
        getattr(special, name)(x).sum().backward()
    assert x.grad is None
    assert getattr(special, name)(x.detach()).requires_grad is False


def test_the_scaled_error_function_has_derivatives_of_two_orders():
    x = torch.linspace(-2, 4, 9, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(special.erfcx, x)
    assert torch.autograd.gradgradcheck(special.erfcx, x)


@pytest.mark.parametrize("name", VALUES)
def test_compiled_steps(name):
    w = torch.tensor([0.5, -0.2], requires_grad=True)

    def step(x):
        w.grad = None
        loss = (getattr(special, name)(x) * w).sum()
        loss.backward()
        return loss

    replay = torch.compile(step, fullgraph=True)
    for k in range(4):
        x = torch.tensor([0.2 + k, 9.0 - k])
        expected = step(x).item(), w.grad.tolist()
        assert (replay(x).item(), w.grad.tolist()) == expected
    assert len(replay.programs) == 1


@pytest.mark.parametrize("name", VALUES)
def test_values_are_scipys(name):
    scipy = pytest.importorskip("scipy.special")
    theirs = {
        "airy_ai": lambda x: scipy.airy(x)[0],
        "bessel_j0": scipy.j0,
        "bessel_j1": scipy.j1,
        "bessel_y0": scipy.y0,
        "bessel_y1": scipy.y1,
        "erfcx": scipy.erfcx,
        "modified_bessel_k0": scipy.k0,
        "modified_bessel_k1": scipy.k1,
        "scaled_modified_bessel_k0": scipy.k0e,
        "scaled_modified_bessel_k1": scipy.k1e,
        "spherical_bessel_j0": lambda x: scipy.spherical_jn(0, x),
    }[name]
    x = np.concatenate([np.linspace(0.01, 40, 2000), np.geomspace(1e-9, 90, 200)])
    if name in ("airy_ai", "bessel_j0", "bessel_j1", "spherical_bessel_j0"):
        x = np.concatenate([x, -x])
    found, expected = getattr(special, name)(torch.tensor(x)).numpy(), theirs(x)
    np.testing.assert_allclose(found, expected, rtol=3e-13, atol=2e-14 if name in WAVES else 0)


@pytest.mark.parametrize("name", [*VALUES, "modified_bessel_i0", "modified_bessel_i1"])
def test_values_are_pytorchs(name):
    theirs = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(0.1, 30, 300), np.geomspace(1e-6, 0.1, 20)])
    if "k" not in name and "_y" not in name:
        x = np.concatenate([x, -x / 4])
    found = getattr(special, name)(torch.tensor(x)).numpy()
    expected = getattr(theirs.special, name)(theirs.tensor(x)).numpy()
    # PyTorch's Bessel functions are that far from SciPy's themselves
    np.testing.assert_allclose(
        found, expected, rtol=1e-6 if name in WAVES else 1e-12, atol=3e-6 * (name in WAVES)
    )
