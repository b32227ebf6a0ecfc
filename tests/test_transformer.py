"""Transformer layers: names, initialisation, compositions of their parts, masks, and compiled steps."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, training_step
from gradients import check_gradients

import jitgrad as torch
from jitgrad import nn

ENCODER_KEYS = [
    "self_attn.in_proj_weight",
    "self_attn.in_proj_bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
    "linear1.weight",
    "linear1.bias",
    "linear2.weight",
    "linear2.bias",
    "norm1.weight",
    "norm1.bias",
    "norm2.weight",
    "norm2.bias",
]


def numbers(*shape, seed=0):
    return torch.tensor(np.random.default_rng([seed, *shape]).standard_normal(shape))


def equal(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(4, 2, 6, 0.0, dtype=torch.float64, **options)


def decoder_layer(**options):
    return nn.TransformerDecoderLayer(4, 2, 6, 0.0, dtype=torch.float64, **options)


def test_names():
    assert list(encoder_layer().state_dict()) == ENCODER_KEYS
    names = list(decoder_layer().state_dict())
    assert [n for n in names if n.startswith("multihead_attn")] == [
        f"multihead_attn.{n.removeprefix('self_attn.')}" for n in ENCODER_KEYS[:4]
    ]
    assert names[-2:] == ["norm3.weight", "norm3.bias"]
    whole = nn.Transformer(4, 2, 2, 1, 6)
    assert [n for n, _ in whole.named_children()] == ["encoder", "decoder"]
    assert "encoder.layers.1.linear1.weight" in whole.state_dict()
    assert "decoder.norm.bias" in whole.state_dict()
    assert not any(n.endswith("bias") for n in nn.TransformerEncoderLayer(4, 2, bias=False).state_dict())


def test_initialisation():
    torch.manual_seed(0)
    heads = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = np.sqrt(6 / (4 * 64))
    weight = heads.in_proj_weight.detach().numpy()
    assert abs(weight).max() <= bound and abs(weight.std() - bound / np.sqrt(3)) < 0.002
    assert not heads.in_proj_bias.detach().numpy().any()
    assert not heads.out_proj.bias.detach().numpy().any()
    assert abs(heads.out_proj.weight.detach().numpy()).max() <= 1 / 8
    whole = nn.Transformer(64, 4, 1, 1, 64)
    weight = whole.encoder.layers[0].linear1.weight.detach().numpy()
    assert abs(weight.std() - np.sqrt(2 / 128)) < 0.004


def test_layers_of_a_stack_are_copies():
    layer = encoder_layer()
    stack = nn.TransformerEncoder(layer, 3)
    first, last = stack.layers[0].linear1.weight, stack.layers[2].linear1.weight
    equal(first, last)
    assert first is not last
    with torch.no_grad():
        first.fill_(1.0)
    assert not (last.detach().numpy() == 1).any()


@pytest.mark.parametrize("activation", ["relu", "gelu", torch.tanh, nn.SiLU()])
@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer_is_made_of_its_parts(norm_first, activation):
    layer, x = encoder_layer(norm_first=norm_first, activation=activation, batch_first=True), numbers(2, 3, 4)
    act = getattr(torch.nn.functional, activation) if isinstance(activation, str) else activation

    def attend(y):
        return layer.self_attn(y, y, y)[0]

    def feed(y):
        return layer.linear2(act(layer.linear1(y)))

    if norm_first:
        y = x + attend(layer.norm1(x))
        want = y + feed(layer.norm2(y))
    else:
        y = layer.norm1(x + attend(x))
        want = layer.norm2(y + feed(y))
    equal(layer(x), want)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer_is_made_of_its_parts(norm_first):
    layer, x, memory = decoder_layer(norm_first=norm_first), numbers(3, 2, 4), numbers(5, 2, 4, seed=1)

    def feed(y):
        return layer.linear2(layer.linear1(y).relu())

    if norm_first:
        y = x + layer.self_attn(*[layer.norm1(x)] * 3)[0]
        y = y + layer.multihead_attn(layer.norm2(y), memory, memory)[0]
        want = y + feed(layer.norm3(y))
    else:
        y = layer.norm1(x + layer.self_attn(x, x, x)[0])
        y = layer.norm2(y + layer.multihead_attn(y, memory, memory)[0])
        want = layer.norm3(y + feed(y))
    equal(layer(x, memory), want)


def test_causal_masks():
    mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
    np.testing.assert_array_equal(mask.numpy(), np.where(np.tri(3, dtype=bool), 0.0, -np.inf))
    assert nn.Transformer.generate_square_subsequent_mask(2).dtype == torch.float32
    layer, x = encoder_layer(), numbers(3, 2, 4)
    want = layer(x, mask)
    equal(layer(x, mask, is_causal=True), want)
    equal(layer(x, torch.tensor(~np.tri(3, dtype=bool))), want)
    equal(want[:1], layer(x[:1]))  # the first position sees only itself
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=torch.float64))
    equal(stack(x, mask), stack(x, mask, is_causal=True))


def test_padding_does_not_count():
    layer, x = encoder_layer(batch_first=True), numbers(2, 3, 4)
    padding = torch.tensor([[False, False, True], [False, False, False]])
    equal(layer(x, src_key_padding_mask=padding)[0, :2], layer(x[:1, :2])[0])


def test_without_batches():
    model = nn.Transformer(4, 2, 1, 1, 6, 0.0, dtype=torch.float64)
    x, y = numbers(3, 4), numbers(2, 4, seed=1)
    equal(model(x, y), model(x.unsqueeze(1), y.unsqueeze(1)).squeeze(1))


def test_gradients():
    torch.manual_seed(2)
    model = nn.Transformer(4, 2, 1, 1, 6, 0.0, batch_first=True, activation="gelu", dtype=torch.float64)
    mask = model.generate_square_subsequent_mask(3, dtype=torch.float64)
    check_gradients(
        lambda x, y: model(x, y, tgt_mask=mask), numbers(1, 2, 4).numpy(), numbers(1, 3, 4, seed=1).numpy()
    )


BAD = {
    "batch": (lambda m: m(numbers(3, 2, 4), numbers(3, 1, 4)), "the batch number of src and tgt"),
    "width": (lambda m: m(numbers(3, 2, 5), numbers(3, 2, 4)), "the feature number of src and tgt"),
    "activation": (lambda m: encoder_layer(activation="tanh"), "should be relu/gelu"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        call(nn.Transformer(4, 2, 1, 1, 6))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_compiled_steps_equal_eager_ones(dropout):
    def build():
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout, "gelu", batch_first=True, norm_first=True)
        model = nn.TransformerEncoder(layer, 2)
        optimizer = torch.optim.Adam(model.parameters())
        return Scene(training_step(model, optimizer), batches((3, 5, 8), (3, 5, 8)), model, optimizer)

    assert_same(build)


def test_compiled_decoder_equals_the_eager_one():
    def build():
        model = nn.Transformer(8, 2, 1, 1, 16, 0.1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        mask = model.generate_square_subsequent_mask(3)

        def step(x, y):
            optimizer.zero_grad()
            loss = (model(x, y, tgt_mask=mask, tgt_is_causal=True) - y).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, batches((4, 2, 8), (3, 2, 8)), model, optimizer)

    assert_same(build)
