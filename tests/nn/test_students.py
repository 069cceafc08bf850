"""SIGN and GAMLP against their equations, hop by hop and node by node, and what students share."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from infgrand_dgl import InputError
from infgrand_dgl.nn.gamlp import GAMLP
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.nn.sign import SIGN
from infgrand_dgl.nn.students import STUDENTS, build, shape_of
from infgrand_dgl.serving import load_student, predict, save_weights

HOPS, WIDTH, HIDDEN, CLASSES = 3, 5, 7, 4
ALL = (HOPS + 1) * WIDTH
OF_HOPS = ["sign", "gamlp"]


def made(model, device="cpu", **options):
    options = {"layers": 3, "hops": HOPS} | options
    return STUDENTS[model](ALL, HIDDEN, CLASSES, **options).to(device)


def affine(h, layer):
    """h W^T + b, entry by entry."""
    return torch.einsum("nd,hd->nh", h, layer.weight) + layer.bias


def standardized(h, dim):
    return (h - h.mean(dim, keepdim=True)) / (h.var(dim, correction=0, keepdim=True) + 1e-5).sqrt()


NORMS = {
    "none": lambda h: h,
    "batch": lambda h: standardized(h, 0),
    "layer": lambda h: standardized(h, 1),
}


def perceptron(student, h, layers, normalized):
    """Its logits, and what the last norm read."""
    inner = h
    for layer in layers[:-1]:
        inner = affine(h, layer)
        h = normalized(inner).clamp(min=0)
    return affine(h, layers[-1]), inner


def sign_reference(student, x, normalized):
    """Z = σ([X^(0) Θ_0 ‖ … ‖ X^(P) Θ_P]), then the layers left."""
    first, *rest = student.layers
    hops = [x[:, k * WIDTH : (k + 1) * WIDTH] for k in range(HOPS + 1)]
    z = torch.cat([affine(h, layer) for h, layer in zip(hops, first, strict=True)], dim=1)
    if len(rest) == 1:
        return affine(normalized(z).clamp(min=0), rest[0]), z
    return perceptron(student, normalized(z).clamp(min=0), rest, normalized)


def gamlp_reference(student, x, normalized):
    """A node at a time: its reference, its P + 1 scores, the weighted sum of its hops."""
    rows = []
    for row in x:
        hops = [row[k * WIDTH : (k + 1) * WIDTH] for k in range(HOPS + 1)]
        reference = affine(row[None], student.reference)[0].clamp(min=0)
        scores = torch.stack([
            1 / (1 + torch.exp(-affine(torch.cat([reference, hop])[None], student.attention)[0, 0]))
            for hop in hops
        ])  # fmt: skip
        weights = scores.exp() / scores.exp().sum()
        rows.append(sum(w * hop for w, hop in zip(weights, hops, strict=True)))
    return perceptron(student, torch.stack(rows), student.layers, normalized)


REFERENCES = {"sign": sign_reference, "gamlp": gamlp_reference}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("model", OF_HOPS)
def test_equals_the_equation(model, layers, norm, device):
    """Values, hidden state, and gradients of inputs and of every weight."""
    student = made(model, device, layers=layers, norm=norm).double().train()
    x = torch.randn(11, ALL, device=device, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, CLASSES, device=device, dtype=torch.float64)
    results = []
    for out, hidden in (
        student(x, hidden=True),
        REFERENCES[model](student, x, NORMS[norm]),
    ):
        loss = (out * weight).sum() + hidden.square().sum()
        gradients = torch.autograd.grad(loss, [x, *student.parameters()], allow_unused=True)
        results.append([out, hidden, *gradients])
    for name, found, expected in zip(
        ["logits", "hidden", "x", *dict(student.named_parameters())], *results, strict=True
    ):
        if expected is not None:  # of what the reference's norms have no scale and shift for
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9, msg=name)


def test_sign_by_hand():
    """Two hops of one feature: 2·1 - 1 = 1 and 3·(-1) + 1 = -2, which ReLU makes 0; 1·5 + 0 + 2."""
    student = SIGN(2, 1, 1, layers=2, hops=1)
    values = {"0.0": (1.0, -1.0), "0.1": (-1.0, 1.0)}
    for key, (weight, bias) in values.items():
        student.state_dict()[f"layers.{key}.weight"].fill_(weight)
        student.state_dict()[f"layers.{key}.bias"].fill_(bias)
    student.state_dict()["layers.1.weight"].copy_(torch.tensor([[5.0, 9.0]]))
    student.state_dict()["layers.1.bias"].fill_(2.0)
    out, hidden = student.eval()(torch.tensor([[2.0, 3.0]]), hidden=True)
    assert hidden.tolist() == [[1.0, -2.0]] and out.tolist() == [[7.0]]


def test_gamlp_by_hand():
    """Scores σ(0) and σ(ln 3) = 3/4 differ by 1/4; their softmax weighs hops 0 and ln 3."""
    student = GAMLP(2, 1, 1, layers=1, hops=1).double()
    for name, value in student.state_dict().items():
        value.fill_(1.0 if name in ("attention.weight", "layers.0.weight") else 0.0)
    three = float(np.log(3))
    found = student.eval()(torch.tensor([[0.0, three]], dtype=torch.float64))
    w = np.exp(0.75) / (np.exp(0.5) + np.exp(0.75))
    assert found.item() == pytest.approx(w * three, rel=1e-12)


@pytest.mark.parametrize("model", OF_HOPS)
def test_equal_hops_are_one_of_them(model, device):
    """GAMLP's weights sum to 1; of SIGN's layers only the sum of what hops get counts then."""
    student, x = made(model, device, layers=2).double().eval(), torch.randn(6, WIDTH).double()
    out = student(x.repeat(1, HOPS + 1).to(device))
    if model == "gamlp":
        inner, last = student.layers
        expected = affine(affine(x.to(device), inner).clamp(min=0), last)
        torch.testing.assert_close(out, expected)
    else:
        swapped = made(model, device, layers=2).double().eval()
        swapped.load_state_dict(student.state_dict())
        order = torch.randperm(HOPS + 1)
        with torch.no_grad():
            for k, j in enumerate(order.tolist()):
                swapped.layers[0][k].load_state_dict(student.layers[0][j].state_dict())
            blocks = student.layers[1].weight.view(CLASSES, HOPS + 1, HIDDEN)
            swapped.layers[1].weight.copy_(blocks[:, order].flatten(1))
        torch.testing.assert_close(swapped(x.repeat(1, HOPS + 1).to(device)), out)


@pytest.mark.parametrize("model", OF_HOPS)
def test_reads_as_an_mlp_does(model, device):
    x = torch.randn(400, ALL, device=device)
    student = made(model, device, kept=0.4).eval()
    plain = made(model, device).eval()
    plain.load_state_dict(student.state_dict())
    torch.testing.assert_close(student(x), plain(0.4 * x))
    dropping = made(model, device, input_dropout=0.5).train()
    dropping.load_state_dict(student.state_dict())
    assert not torch.equal(dropping(x), dropping(x))
    zeros = torch.zeros_like(x)
    torch.testing.assert_close(dropping(zeros), dropping(zeros))
    assert torch.equal(dropping.eval()(x), plain(x))
    assert not torch.equal(made(model, device, dropout=0.5).train()(x), plain(x))


@pytest.mark.parametrize("model", OF_HOPS)
def test_bfloat16_and_compiled(model, device):
    student, x = made(model, device).eval(), torch.randn(30, ALL, device=device)
    expected = student(x)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        found = student(x)
    assert not torch.equal(found.float(), expected)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    whole = torch.compile(student, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(whole(x), expected)


@pytest.mark.parametrize("model", STUDENTS)
def test_a_file_is_the_whole_student(model, tmp_path):
    hops: dict[str, Any] = {} if model == "mlp" else {"hops": HOPS}
    given: dict[str, Any] = {"layers": 3, "norm": "batch", "kept": 0.5, "units": True, **hops}
    student = STUDENTS[model](ALL, HIDDEN, CLASSES, dropout=0.3, **given)
    student.set_units(torch.randn(CLASSES), torch.rand(CLASSES))
    student.train()(torch.randn(50, ALL))  # running statistics
    path = tmp_path / "s.safetensors"
    save_weights(path, student)
    again = load_student(path)
    assert type(again) is STUDENTS[model] and again.shape == student.shape
    x = np.random.randn(9, ALL).astype(np.float32)
    expected = student.eval()(torch.from_numpy(x)).detach()
    assert torch.equal(predict(again, x, "regression"), expected)
    for width in (WIDTH, ALL + 1):
        told = rf"\[n, {ALL}\]{' .hops 0 to 3 side by side.' if hops else ', found'}"
        with pytest.raises(InputError, match=told):
            predict(again, np.zeros((3, width), np.float32))


def test_an_mlp_s_file_is_as_ever(tmp_path, tiny_config):
    shape = shape_of(tiny_config, 12, 3)
    assert shape == {"in_features": 12, "hidden": 8, "classes": 3, "layers": 2, "norm": "none"}
    torch.manual_seed(5)
    student = build(shape, dropout=0.5)
    torch.manual_seed(5)
    layers = [torch.nn.Linear(12, 8), torch.nn.Linear(8, 3)]
    for k, layer in enumerate(layers):
        assert torch.equal(student.state_dict()[f"layers.{k}.weight"], layer.weight)
    save_weights(tmp_path / "s.safetensors", student)
    with safe_open(tmp_path / "s.safetensors", framework="pt") as file:
        assert sorted(file.keys()) == sorted(
            f"layers.{k}.{name}" for k in range(2) for name in ("bias", "weight")
        )
        assert file.metadata() == {
            "mlp": '{"in_features": 12, "hidden": 8, "classes": 3, "layers": 2, "norm": "none"}'
        }


@pytest.mark.parametrize("model", STUDENTS)
def test_of_a_configuration(model, tiny_config):
    config = tiny_config.replace("student", model=model, layers=3, norm="layer")
    student = build(shape_of(config, 12, 3))
    assert type(student) is STUDENTS[model] and student.shape == shape_of(config, 12, 3)
    assert student(torch.randn(5, 12)).shape == (5, 3)


@pytest.mark.parametrize("model", OF_HOPS)
def test_widths_that_are_none(model):
    for width, hops in ((ALL, 2), (ALL, None), (ALL, -2)):
        with pytest.raises(InputError, match=f"in_features: expected a multiple of .* {width}"):
            STUDENTS[model](width, 4, 3, layers=2, hops=hops)
    with pytest.raises(InputError, match="layers: sign needs 2 or more, found 1"):
        SIGN(ALL, 4, 3, layers=1, hops=HOPS)


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("model", STUDENTS)
def test_inner_width_counts_what_is_made(model, layers):
    """Outputs of all linear layers but the last, and of the attention what it sums and weighs."""
    hops: dict[str, Any] = {} if model == "mlp" else {"hops": HOPS}
    student = STUDENTS[model](ALL, HIDDEN, CLASSES, layers=layers, **hops)
    sizes: list[int] = []
    last = student.layers[-1]
    for layer in student.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not last:
            layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape[1]))
    student(torch.randn(2, ALL))
    attended = WIDTH + 2 * (HOPS + 1) if model == "gamlp" else 0
    assert student.inner_width(student.shape) == sum(sizes) + attended


def test_mlp_is_the_one_without_hops():
    assert "hops" not in MLP(4, 3, 2, layers=2).shape
