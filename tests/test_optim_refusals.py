"""What optimizers, their groups and learning-rate schedules refuse."""

import pytest

import jitgrad as jg
from jitgrad.optim import lr_scheduler as schedules


def parameter(*values):
    return jg.tensor(values, requires_grad=True)


def of(name, **options):
    return lambda p: getattr(jg.optim, name)([p], **options)


BAD_OPTIONS = [
    (of("SGD", lr=-1.0), ValueError, r"Invalid learning rate: -1.0 \(SGD: lr must be >= 0\)"),
    (of("SGD", lr=float("nan")), ValueError, "Invalid learning rate: nan"),
    (of("SGD", momentum=-0.5), ValueError, "Invalid momentum value: -0.5"),
    (of("SGD", weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (of("SGD", nesterov=True), ValueError, "Nesterov momentum requires a momentum and zero dampening"),
    (
        of("SGD", nesterov=True, momentum=0.9, dampening=0.1),
        ValueError,
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    (of("SGD", lr="0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
    (of("SGD", lr=None), TypeError, "SGD: lr must be a number, got None"),
    (of("Adam", lr=-1e-3), ValueError, "Invalid learning rate: -0.001"),
    (of("Adam", eps=-1e-8), ValueError, "Invalid epsilon value: -1e-08"),
    (of("Adam", betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (of("Adam", betas=(0.9, -0.1)), ValueError, "Invalid beta parameter at index 1: -0.1"),
    (of("Adam", betas=0.9), ValueError, "Invalid betas: 0.9"),
    (of("AdamW", weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (of("Adam", differentiable=True), RuntimeError, "differentiable=True is not supported"),
    (of("SGD", fused=True, foreach=True), RuntimeError, "`fused` and `foreach` cannot be `True` together"),
    (of("RMSprop", alpha=-1), ValueError, "Invalid alpha value: -1"),
    (of("RMSprop", momentum=-1), ValueError, "Invalid momentum value: -1"),
    (of("Adagrad", lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
    (
        of("Adagrad", initial_accumulator_value=-1),
        ValueError,
        "Invalid initial_accumulator_value value: -1",
    ),
    (of("Adadelta", rho=1.5), ValueError, r"Invalid rho value: 1.5 .*in \[0, 1\]"),
    (of("NAdam", momentum_decay=-1), ValueError, "Invalid momentum_decay value: -1"),
    (of("RAdam", betas=(0.9, 1.0)), ValueError, "Invalid beta parameter at index 1: 1.0"),
    (of("Adamax", eps=-1), ValueError, "Invalid epsilon value: -1"),
    (of("ASGD", lr=-1), ValueError, "Invalid learning rate: -1"),
    (of("ASGD", weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (of("ASGD", t0="soon"), TypeError, "ASGD: t0 must be a number, got 'soon'"),
    (of("ASGD", alpha=None), TypeError, "ASGD: alpha must be a number, got None"),
    (of("Rprop", lr=-1), ValueError, "Invalid learning rate: -1"),
    (of("Rprop", etas=(0.5, 1.0)), ValueError, r"Invalid eta values: 0.5, 1.0 \(Rprop: the first of etas"),
    (of("Rprop", etas=(0.0, 1.5)), ValueError, "Invalid eta values: 0.0, 1.5"),
    (of("Rprop", etas=(0.5,)), ValueError, "etas must be a pair of numbers"),
    (of("Rprop", etas=("a", 2)), TypeError, r"Rprop: etas\[0\] must be a number, got 'a'"),
    (of("Rprop", step_sizes=1.0), ValueError, "Invalid step_sizes: 1.0"),
    (of("LBFGS", lr=-1), ValueError, "Invalid learning rate: -1"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_errors(make, error, message):
    with pytest.raises(error, match=message):
        make(parameter(1.0))


def _shared():
    p = parameter(1.0)
    return [{"params": [p]}, {"params": [p]}]


BAD_PARAMS = [
    (lambda: [], ValueError, "optimizer got an empty parameter list"),
    (lambda: iter(()), ValueError, "optimizer got an empty parameter list"),
    (lambda: parameter(1.0), TypeError, "should be an iterable of Tensors or dicts, but got a Tensor"),
    (lambda: {"params": [parameter(1.0)]}, TypeError, r"got one dict; write \[group\]"),
    (lambda: [1.0], TypeError, r"can only optimize Tensors, but one of the params is float \(params\[0\]\)"),
    (lambda: [parameter(1.0) * 2], ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: [{"params": {parameter(1.0)}}], TypeError, "Please use a list instead"),
    (_shared, ValueError, "some parameters appear in more than one parameter group"),
    (lambda: [{"lr": 0.1}], KeyError, "params"),
    (lambda: [{"params": [parameter(1.0)]}, [parameter(1.0)]], TypeError, "param_group must be a dict"),
    (lambda: [{"params": [parameter(1.0)], "lr": -1}], ValueError, "Invalid learning rate: -1"),
    (lambda: [("a", parameter(1.0)), parameter(1.0)], ValueError, "Some param names are missing"),
]


@pytest.mark.parametrize(("params", "error", "message"), BAD_PARAMS)
def test_bad_parameters_are_errors(params, error, message):
    with pytest.raises(error, match=message):
        jg.optim.SGD(params(), lr=0.1)


def test_a_refused_group_is_not_added():
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=1.0)
    for group in ({"params": [p]}, {"params": [parameter(1.0)], "lr": -1.0}):
        with pytest.raises(ValueError, match=r"more than one parameter group|Invalid learning rate"):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1


# schedules ----------------------------------------------------------------------------------------------


def optimizer(kind="SGD", **options):
    return getattr(jg.optim, kind)([parameter(1.0)], lr=0.1, **options)


def _foreign():
    return schedules.SequentialLR(optimizer(), [schedules.StepLR(optimizer(), 5)], [])


def _with_plateau():
    o = optimizer()
    return schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)])


def _milestones():
    o = optimizer()
    return schedules.SequentialLR(o, [schedules.StepLR(o, 5)], [5])


BAD_SCHEDULES = [
    (lambda: schedules.StepLR([0.1], 5), TypeError, "list is not an Optimizer"),
    (lambda: schedules.StepLR(optimizer(), 0), ValueError, "step_size must be at least 1, got 0"),
    (lambda: schedules.ConstantLR(optimizer(), 1.5), ValueError, "expected to be between 0 and 1, got 1.5"),
    (lambda: schedules.LinearLR(optimizer(), 0.0), ValueError, "greater than 0 and less or equal to 1"),
    (lambda: schedules.LinearLR(optimizer(), 0.5, 2.0), ValueError, "Ending multiplicative factor"),
    (lambda: schedules.LambdaLR(optimizer(), [len, len]), ValueError, "Expected 1 lr_lambdas, but got 2"),
    (lambda: schedules.MultiplicativeLR(optimizer(), 0.9), TypeError, "should be a function, but got float"),
    (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 0), ValueError, "integer T_0, but got 0"),
    (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 2, 0), ValueError, "T_mult >= 1, but got 0"),
    (lambda: schedules.OneCycleLR(optimizer(), 1.0), ValueError, "You must define either total_steps OR"),
    (lambda: schedules.OneCycleLR(optimizer(), 1.0, 0), ValueError, "integer total_steps, but got 0"),
    (lambda: schedules.OneCycleLR(optimizer(), 1.0, 9, pct_start=2.0), ValueError, "pct_start, but got 2.0"),
    (lambda: schedules.OneCycleLR(optimizer(), 1.0, 9, anneal_strategy="x"), ValueError, "instead got x"),
    (lambda: schedules.OneCycleLR(optimizer(), [1.0, 2.0], 9), ValueError, "max_lr has 2 values"),
    (
        lambda: schedules.OneCycleLR(optimizer(kind="Adagrad"), 1.0, 9),
        ValueError,
        "optimizer must support momentum or beta1",
    ),
    (lambda: schedules.CyclicLR([0.1], 0.1, 0.5), TypeError, "list is not an Optimizer"),
    (lambda: schedules.CyclicLR(optimizer(), 0.1, 0.5, mode="x"), ValueError, "mode is invalid .* got 'x'"),
    (lambda: schedules.CyclicLR(optimizer(), [0.1, 0.2], 0.5), ValueError, "base_lr has 2 values"),
    (lambda: schedules.CyclicLR(optimizer(), 0.1, [0.5] * 3), ValueError, "max_lr has 3 values"),
    (lambda: schedules.CyclicLR(optimizer(), 0.1, 0.5, 0), ValueError, "step_size_up must be more than 0"),
    (lambda: schedules.CyclicLR(optimizer(), 0.1, 0.5, 2, -1), ValueError, "at least 0, got 2 and -1"),
    (lambda: schedules.CyclicLR(optimizer(kind="Rprop"), 0.1, 0.5), ValueError, "must support momentum"),
    (lambda: schedules.ReduceLROnPlateau(optimizer(), factor=1.0), ValueError, "Factor should be < 1.0"),
    (lambda: schedules.ReduceLROnPlateau(optimizer(), mode="least"), ValueError, "mode least is unknown"),
    (lambda: schedules.ReduceLROnPlateau(optimizer(), threshold_mode="x"), ValueError, "threshold mode x"),
    (
        lambda: schedules.ReduceLROnPlateau(optimizer(), min_lr=[1, 2]),
        ValueError,
        "expected 1 min_lrs, got 2",
    ),
    (lambda: schedules.SequentialLR(optimizer(), [], []), ValueError, "got no scheduler"),
    (lambda: schedules.ChainedScheduler([]), ValueError, "got no scheduler"),
    (_milestones, ValueError, "one more than the number of milestone points"),
    (_foreign, ValueError, "belong to the same optimizer"),
    (_with_plateau, ValueError, "does not support `ReduceLROnPlateau`"),
    (lambda: schedules.ChainedScheduler([5], optimizer()), TypeError, "should have `optimizer`"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_SCHEDULES)
def test_bad_schedules_are_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
