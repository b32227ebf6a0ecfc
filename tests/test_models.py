"""The models by themselves: sizes, training eager and compiled, fine-tuning, sampling, refusals."""

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import models, nn
from jitgrad.store import store


@pytest.mark.parametrize(
    ("make", "parameters", "keys"),
    [
        (models.resnet18, 11_689_512, 122),
        (models.resnet34, 21_797_672, 218),
        (models.resnet20, 269_722, 116),
        (models.LeNet5, 44_426, 10),
        (lambda: models.MLP(784, (128,), 10), 101_770, 4),
        (lambda: models.GPT(27, 16, 1, 4, 16), 4_432, 21),
        (lambda: models.LSTMLanguageModel(27, 16, 32), 7_723, 7),
    ],
)
def test_numbers_of_parameters_and_keys(make, parameters, keys):
    model = make()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == keys


def small_resnet(**options):
    return models.ResNet(models.BasicBlock, (1, 1, 1, 1), num_classes=5, **options)


CASES = {
    "mlp": (lambda: models.MLP(6, (8,), 5, nn.Tanh, dropout=0.25), lambda: jg.randn(4, 6)),
    "lenet": (lambda: models.LeNet5(5), lambda: jg.randn(4, 1, 28, 28)),
    "resnet": (small_resnet, lambda: jg.randn(2, 3, 64, 64)),
    "resnet20": (lambda: models.resnet20(5), lambda: jg.randn(2, 3, 16, 16)),
    "gpt": (lambda: models.GPT(5, 6, 2, 2, 8), lambda: jg.randint(0, 5, (3, 6))),
    "gpt with dropout": (lambda: models.GPT(5, 6, 1, 2, 8, dropout=0.2), lambda: jg.randint(0, 5, (3, 6))),
    "lstm": (lambda: models.LSTMLanguageModel(5, 4, 6, 2, 0.2), lambda: jg.randint(0, 5, (3, 6))),
}


def trainer(name, wrap):
    """Model, training step and batch, always from the same seed."""
    jg.manual_seed(0)
    make, data = CASES[name]
    model, x = make(), data()
    targets = jg.randint(0, 5, x.shape if x.dtype is jg.int64 else x.shape[:1])
    optimizer = jg.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    @wrap
    def step(x, y):
        optimizer.zero_grad()
        out = model(x)
        out = out[0] if isinstance(out, tuple) else out
        loss = nn.functional.cross_entropy(out.reshape(-1, 5), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return model, step, x, targets


@pytest.mark.parametrize("name", CASES)
def test_compiled_steps_are_bitwise_those_of_eager_training_and_the_loss_falls(name):
    results = []
    for wrap in (lambda f: f, jg.compile):
        model, step, x, y = trainer(name, wrap)
        losses = [step(x, y).item() for _ in range(6)]
        results.append((losses, [v.numpy().tobytes() for v in model.state_dict().values()]))
    assert results[0] == results[1]
    losses = results[0][0]
    assert "dropout" in name or name in ("mlp", "lstm") or losses[-1] < losses[0]


def test_resnet18_trains_on_one_image():
    jg.manual_seed(0)
    model = models.resnet18()
    optimizer = jg.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    x, labels = jg.randn(1, 3, 64, 64), jg.rand(1, 1000)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]
    assert all(p.grad.shape == p.shape and np.isfinite(p.grad.numpy()).all() for p in model.parameters())
    assert model.bn1.num_batches_tracked.item() == 3


def rows_of(action):
    """What an action returns, and the rows that it left on the tape."""
    before = store.field("live_rows")
    result = action()
    return result, store.field("live_rows") - before


@pytest.mark.parametrize("training", [False, True])
def test_frozen_layers_cost_no_backward_work(training):
    """Freeze everything, replace ``fc``, train only it."""
    jg.manual_seed(0)
    model = small_resnet()
    x, y = jg.randn(4, 3, 32, 32), jg.tensor([0, 1, 2, 1])
    _whole, rows = rows_of(lambda: nn.functional.cross_entropy(model(x), y))
    assert rows > 20

    model.requires_grad_(False)
    model.fc = nn.Linear(model.fc.in_features, 3)
    optimizer = jg.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    frozen = {k: v.numpy().tobytes() for k, v in model.named_parameters() if not k.startswith("fc")}
    model.train(training)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss, rows = rows_of(lambda: nn.functional.cross_entropy(model(x), y))
        assert rows == 2  # the new layer and the loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(v.numpy().tobytes() == frozen[k] for k, v in model.named_parameters() if k in frozen)
    assert [k for k, p in model.named_parameters() if p.grad is not None] == ["fc.weight", "fc.bias"]
    assert model.bn1.num_batches_tracked.item() == 1 + 8 * training  # statistics go on in training mode


def test_frozen_layers_are_no_backward_rows_of_a_compiled_step_either():
    jg.manual_seed(0)
    x, y = jg.randn(2, 3, 32, 32), jg.tensor([0, 1])
    counts = []
    for freeze in (False, True):
        model = small_resnet().eval().requires_grad_(not freeze)
        model.fc = nn.Linear(512, 3)
        optimizer = jg.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

        @jg.compile
        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step(x, y)
        counts.append(len(step.program(x, y).rows))
    assert counts[1] < 0.6 * counts[0]


def test_resnet_options():
    jg.manual_seed(0)
    model = small_resnet(zero_init_residual=True, norm_layer=lambda channels: nn.GroupNorm(4, channels))
    assert isinstance(model.layer2[0].downsample[1], nn.GroupNorm)
    assert model.layer3[0].bn2.weight.abs().sum().item() == 0
    assert model.layer3[0].bn1.weight.sum().item() == 256
    assert model(jg.randn(1, 3, 33, 47)).shape == (1, 5)


def test_weights_load_from_a_file(tmp_path):
    model = models.resnet18(num_classes=3)
    jg.save(model.state_dict(), tmp_path / "w.pt")
    other = models.resnet18(weights=tmp_path / "w.pt", num_classes=3)
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    with pytest.raises(RuntimeError, match=r"size mismatch for fc\.weight"):
        models.resnet18(weights=tmp_path / "w.pt", num_classes=4)


# language models -------------------------------------------------------------------------------------------

LANGUAGE = {
    "gpt": lambda: models.GPT(9, 6, 2, 2, 8, dropout=0.1),
    "lstm": lambda: models.LSTMLanguageModel(9, 4, 6, 2, 0.1),
}


@pytest.fixture(params=LANGUAGE)
def language(request):
    jg.manual_seed(0)
    model = LANGUAGE[request.param]()
    with jg.no_grad():
        model.head.weight.mul_(20)  # scores that are far from equal
    return model


def scores(model, tokens):
    out = model(tokens)
    return out[0] if isinstance(out, tuple) else out


def test_generating_is_repeatable_by_seed(language):
    start = jg.zeros(4, 1, dtype=jg.int64)
    texts = [
        language.generate(start, 10, generator=jg.Generator().manual_seed(seed)).tolist()
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert np.shape(texts) == (3, 4, 11)
    assert all(0 <= token < 9 for text in texts for row in text for token in row)


def test_generating_changes_neither_mode_nor_tape(language):
    for mode in (True, False):
        language.train(mode)
        made, rows = rows_of(lambda: language.generate(jg.zeros(1, 2, dtype=jg.int64), 3))
        assert language.training is mode and rows == 0 and not made.requires_grad


def test_at_temperature_0_the_likeliest_token_follows(language):
    language.eval()
    made = language.generate(jg.tensor([[1, 2], [3, 4]]), 5, temperature=0)
    again = language.generate(jg.tensor([[1, 2], [3, 4]]), 5, temperature=0.5, top_k=1)
    assert made.tolist() == again.tolist()
    with jg.no_grad():
        for at in range(2, 6):
            assert scores(language, made[:, :at])[:, -1].argmax(-1).tolist() == made[:, at].tolist()


def test_draws_follow_the_softmax_among_the_top_k(language):
    language.eval()
    start = jg.zeros(4000, 1, dtype=jg.int64)
    drawn = language.generate(start, 1, temperature=2.0, top_k=3, generator=jg.Generator().manual_seed(0))[
        :, 1
    ]
    with jg.no_grad():
        logits = scores(language, start[:1])[0, -1].numpy().astype(float) / 2
    kept = np.argsort(logits)[-3:]
    wanted = np.zeros(9)
    wanted[kept] = np.exp(logits[kept]) / np.exp(logits[kept]).sum()
    np.testing.assert_allclose(np.bincount(drawn.numpy(), minlength=9) / 4000, wanted, atol=0.04)


def test_a_gpt_generates_beyond_its_block_from_the_last_positions():
    jg.manual_seed(0)
    model = models.GPT(9, 4, 1, 2, 8)
    long = jg.randint(0, 9, (2, 11))
    a, b = model.generate(long, 3, temperature=0), model.generate(long[:, -4:], 3, temperature=0)
    assert a[:, -3:].tolist() == b[:, -3:].tolist()


def test_no_position_of_a_gpt_sees_those_after_it():
    jg.manual_seed(0)
    model = models.GPT(9, 6, 2, 2, 8).eval()
    tokens = jg.randint(0, 9, (1, 6))
    changed = tokens.clone()
    changed[0, 4] = (tokens[0, 4] + 1) % 9
    with jg.no_grad():
        a, b = model(tokens).numpy(), model(changed).numpy()
    assert np.array_equal(a[:, :4], b[:, :4])
    assert not np.array_equal(a[:, 4:], b[:, 4:])


def test_the_state_of_an_lstm_carries_a_text_on():
    jg.manual_seed(0)
    model = models.LSTMLanguageModel(9, 4, 6, 2)
    tokens = jg.randint(0, 9, (2, 8))
    whole, _ = model(tokens)
    first, state = model(tokens[:, :3])
    rest, _ = model(tokens[:, 3:], state)
    np.testing.assert_allclose(
        np.concatenate([first.detach().numpy(), rest.detach().numpy()], 1),
        whole.detach().numpy(),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([[0]], 3), TypeError, "expected a Tensor of tokens"),
        ((jg.zeros(3, dtype=jg.int64), 3), ValueError, "shape (N, T)"),
        ((jg.zeros(1, 3), 3), ValueError, "whole numbers"),
        ((jg.zeros(1, 3, dtype=jg.int64), -1), ValueError, "max_new_tokens"),
        ((jg.zeros(1, 3, dtype=jg.int64), 1.5), ValueError, "max_new_tokens"),
        ((jg.zeros(1, 3, dtype=jg.int64), 1, -1.0), ValueError, "temperature"),
        ((jg.zeros(1, 3, dtype=jg.int64), 1, float("nan")), ValueError, "temperature"),
        ((jg.zeros(1, 3, dtype=jg.int64), 1, 1.0, 0), ValueError, "top_k"),
    ],
)
def test_what_cannot_be_generated_is_refused(language, arguments, error, says):
    with pytest.raises(error) as raised:
        language.generate(*arguments)
    assert says in str(raised.value)


def test_wrong_sizes_of_a_gpt_are_refused():
    with pytest.raises(ValueError, match="divisible"):
        models.GPT(9, 4, 1, 3, 8)
    with pytest.raises(ValueError, match="block size is only 4"):
        models.GPT(9, 4, 1, 2, 8)(jg.zeros(1, 5, dtype=jg.int64))
    with pytest.raises(ValueError, match=r"expected tokens of shape \(N, T\), got shape \(4,\)"):
        models.GPT(9, 4, 1, 2, 8)(jg.zeros(4, dtype=jg.int64))
