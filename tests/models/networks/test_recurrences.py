"""Networks that predict the next frame: their cells against the equations of the papers, one gate at a time."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.conv_lstm import ConvLSTM, ConvLSTMCell
from genimg.models.networks.patches import Patches
from genimg.models.networks.phydnet import PhyCell, PhyDNet, moments
from genimg.models.networks.predrnn import PredRNN, SpatiotemporalLSTM
from genimg.models.networks.recurrence import Recurrence

Made = Callable[[int | tuple[int, int], int], nn.Module]

NETWORKS: dict[str, Made] = {
    "conv_lstm": lambda size, channels: ConvLSTM(size, channels, hidden=6, layers=2, kernel=3, patch=4),
    "predrnn": lambda size, channels: PredRNN(size, channels, 6, 2, kernel=3, patch=4, decoupling=0.1),
    "phydnet": lambda size, channels: PhyDNet(size, channels, hidden=8, layers=2, cell_width=4, order=3, moment=1.0),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module) -> nn.Module:
    """With weights that are all large enough to matter."""
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.3)
    return module


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, (30, 21)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_has_the_shape_of_a_frame_and_every_parameter_gets_a_gradient(
    name: str, size: int | tuple[int, int], channels: int
) -> None:
    network = randomised(NETWORKS[name](size, channels))
    sides = (size, size) if isinstance(size, int) else size
    state, loss = None, torch.zeros(())
    for time in range(3):
        predicted = network(drawn(2, channels, *sides, seed=time), state)
        assert predicted.outputs.shape == (2, channels, *sides)
        state, loss = predicted.state, loss + predicted.outputs.square().mean()
        loss = loss if predicted.penalty is None else loss + predicted.penalty
    loss.backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction_depends_on_every_frame_before_and_on_no_other_clip(name: str) -> None:
    network = randomised(NETWORKS[name](16, 1)).eval()
    clips = drawn(2, 3, 1, 16, 16).requires_grad_()
    state, outputs = None, torch.zeros(())
    for time in range(3):
        predicted = network(clips[:, time], state)
        state, outputs = predicted.state, predicted.outputs
        assert predicted.penalty is None, "only training adds a penalty"
    (gradient,) = torch.autograd.grad(outputs[0].sum(), clips)
    assert gradient[0].flatten(1).abs().sum(1).gt(0).all()
    assert not gradient[1].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_nothing_between_calls(name: str) -> None:
    network: Recurrence = randomised(NETWORKS[name](16, 1))
    frame = drawn(1, 1, 16, 16)
    first = network(frame, None).outputs
    network(drawn(1, 1, 16, 16, seed=1), None)
    assert torch.equal(network(frame, None).outputs, first)


def test_patches_join_to_the_frames_they_were_cut_from() -> None:
    frames = drawn(2, 3, 13, 10)
    patches = Patches((13, 10), 3, patch=4)
    maps = patches.cut(frames)
    assert maps.shape == (2, 48, *patches.size) and patches.size == (4, 3)
    assert torch.equal(patches.join(maps), frames)
    assert torch.equal(
        maps[0, :16, 1, 2], torch.cat([frames[0, 0, 4:8, 8:], frames[0, 0, 4:8, 9:].expand(4, 2)], 1).flatten()
    )


def test_the_convlstm_cell_computes_equation_3() -> None:
    cell = randomised(ConvLSTMCell(2, 3, kernel=3, size=(5, 4)))
    assert isinstance(cell, ConvLSTMCell)
    x, h, c = drawn(2, 2, 5, 4), drawn(2, 3, 5, 4, seed=1), drawn(2, 3, 5, 4, seed=2)
    of_x, bias = cell.from_input.weight.split(3), cell.from_input.bias
    of_h, (w_ci, w_cf, w_co) = cell.from_hidden.weight.split(3), cell.peepholes
    assert bias is not None

    def summed(gate: int) -> Tensor:
        parts = F.conv2d(x, of_x[gate], padding=1) + F.conv2d(h, of_h[gate], padding=1)
        return parts + bias[3 * gate : 3 * gate + 3, None, None]

    i, f = torch.sigmoid(summed(0) + w_ci * c), torch.sigmoid(summed(1) + w_cf * c)
    after = f * c + i * torch.tanh(summed(2))
    o = torch.sigmoid(summed(3) + w_co * after)
    hidden, memory = cell(x, (h, c))
    torch.testing.assert_close(memory, after)
    torch.testing.assert_close(hidden, o * torch.tanh(after))


def test_the_spatiotemporal_lstm_computes_the_equations_of_predrnn() -> None:
    cell = randomised(SpatiotemporalLSTM(2, 3, kernel=3))
    assert isinstance(cell, SpatiotemporalLSTM)
    x, h, c, m = drawn(2, 2, 5, 4), *(drawn(2, 3, 5, 4, seed=seed) for seed in (1, 2, 3))
    bias = cell.from_input.bias
    assert bias is not None
    of_x, of_h, of_m = (part.weight.split(3) for part in (cell.from_input, cell.from_hidden, cell.from_zigzag))

    def of_input(gate: int) -> Tensor:
        return F.conv2d(x, of_x[gate], bias[3 * gate : 3 * gate + 3], padding=1)

    def with_hidden(gate: int) -> Tensor:
        return of_input(gate) + F.conv2d(h, of_h[gate], padding=1)

    def with_zigzag(gate: int) -> Tensor:
        return of_input(3 + gate) + F.conv2d(m, of_m[gate], padding=1)

    g, i, f = torch.tanh(with_hidden(2)), torch.sigmoid(with_hidden(0)), torch.sigmoid(with_hidden(1))
    g2, i2, f2 = torch.tanh(with_zigzag(2)), torch.sigmoid(with_zigzag(0)), torch.sigmoid(with_zigzag(1))
    c2, m2 = f * c + i * g, f2 * m + i2 * g2
    w_co, w_mo = cell.to_output.weight.split(3, dim=1)
    o = of_input(6) + F.conv2d(h, of_h[3], padding=1) + F.conv2d(c2, w_co, padding=1) + F.conv2d(m2, w_mo, padding=1)
    fused = F.conv2d(torch.cat([c2, m2], 1), cell.to_hidden.weight, cell.to_hidden.bias)
    memories = cell(x, h, c, m)
    torch.testing.assert_close(memories.cell, c2)
    torch.testing.assert_close(memories.zigzag, m2)
    torch.testing.assert_close(memories.hidden, torch.sigmoid(o) * torch.tanh(fused))
    torch.testing.assert_close(memories.cell_change, i * g)
    torch.testing.assert_close(memories.zigzag_change, i2 * g2)


def test_the_second_memory_passes_from_the_topmost_layer_to_the_lowest() -> None:
    network = randomised(NETWORKS["predrnn"](8, 1))
    first = network(drawn(1, 1, 8, 8), None)
    blocked = [first.state[0]._replace(zigzag=torch.zeros_like(first.state[0].zigzag)), first.state[1]]
    changed = [first.state[0], first.state[1]._replace(zigzag=first.state[1].zigzag + 1)]
    after = [network(drawn(1, 1, 8, 8), state).outputs for state in (first.state, blocked, changed)]
    assert torch.equal(after[0], after[1]), "that of a lower layer ends with its step"
    assert not torch.allclose(after[0], after[2])


def test_equal_changes_of_both_memories_cost_the_complete_decoupling_penalty() -> None:
    network = PredRNN(8, 1, hidden=6, layers=1, kernel=3, patch=4, decoupling=0.1)
    (cell,) = network.cells
    assert isinstance(cell, SpatiotemporalLSTM) and cell.from_input.bias is not None
    with torch.no_grad():
        cell.from_input.weight[18:36] = cell.from_input.weight[:18]  # memories are 0 at first
        cell.from_input.bias.zero_()
    torch.testing.assert_close(network(drawn(1, 1, 8, 8), None).penalty, torch.tensor(0.1))


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_a_filter_with_one_moment_computes_a_derivative(i: int, j: int) -> None:
    """The filter with moments delta_ij, found by inverting the linear map from filters to moments, on a polynomial."""
    basis = torch.eye(25).view(25, 5, 5)
    to_moments = moments(basis).view(25, 25).T.double()
    wanted = torch.zeros(5, 5, dtype=torch.float64)
    wanted[i, j] = 1
    derivative = torch.linalg.solve(to_moments, wanted.flatten()).view(1, 1, 5, 5)
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    y, x = y.double(), x.double()
    field = 0.5 * y**2 * x + x**2 - 3 * y
    derivatives = {(0, 0): field, (1, 0): y * x - 3, (0, 2): torch.full_like(x, 2.0), (2, 1): torch.ones_like(x)}
    found = F.conv2d(field.view(1, 1, 9, 9), derivative)
    torch.testing.assert_close(found[0, 0], derivatives[i, j][2:-2, 2:-2], rtol=1e-4, atol=1e-4)


def test_the_moment_loss_is_0_for_filters_that_are_derivatives() -> None:
    cell = PhyCell(2, order=3)
    assert cell.moment_loss() > 0.1
    to_moments = moments(torch.eye(9).view(9, 3, 3)).view(9, 9).T
    filters = torch.linalg.inv(to_moments).T.reshape(9, 1, 3, 3)
    with torch.no_grad():
        cell.derivatives.weight.copy_(filters.expand(9, 2, 3, 3))
    torch.testing.assert_close(cell.moment_loss(), torch.zeros(()), atol=1e-8, rtol=0)


def test_the_phycell_predicts_and_corrects() -> None:
    cell = randomised(PhyCell(2, order=3))
    assert isinstance(cell, PhyCell)
    x, h = drawn(1, 2, 6, 5), drawn(1, 2, 6, 5, seed=1)
    convolved = F.conv2d(h, cell.derivatives.weight, cell.derivatives.bias, padding=1)
    normed = F.group_norm(convolved, 3, cell.norm.weight, cell.norm.bias)
    predicted = h + F.conv2d(normed, cell.coefficients.weight, cell.coefficients.bias)
    w_x, w_h = cell.gate.weight.split(2, dim=1)
    gain = F.conv2d(x, w_x, padding=1) + F.conv2d(predicted, w_h, cell.gate.bias, padding=1)
    gain = torch.sigmoid(gain)
    torch.testing.assert_close(cell(x, h), (1 - gain) * predicted + gain * x)
