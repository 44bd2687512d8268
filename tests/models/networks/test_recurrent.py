import pytest
import torch

from genimg.models.networks.recurrent import CORES, ConvLSTMCore, LSTMCore


@pytest.mark.parametrize("name", CORES)
def test_the_forget_gate_starts_open(name: str) -> None:
    """Without any input, cells forget by sigmoid(1) a step."""
    torch.manual_seed(0)
    core = CORES[name](6, 3, (4, 5, 7), hidden=8)
    weights = [p for p in core.parameters() if p.ndim > 1]
    with torch.no_grad():
        for weight in weights:
            weight.zero_()
        for extra in [core.from_vectors.bias] if isinstance(core, ConvLSTMCore) else []:
            extra.zero_()
    hidden, cell, *rest = core.begin(torch.randn(2, 6), torch.randn(2, 4, 5, 7))
    after = core(torch.randn(2, 3), (hidden, torch.ones_like(cell), *rest))[1]
    torch.testing.assert_close(after, torch.sigmoid(torch.ones_like(after)))


@pytest.mark.parametrize("name", CORES)
def test_shapes_of_state_summary_and_canvas(name: str) -> None:
    core = CORES[name](6, 3, (4, 5, 7), hidden=8)
    state = core.begin(torch.randn(2, 6), torch.randn(2, 4, 5, 7))
    following = core(torch.randn(2, 3), state)
    assert [s.shape for s in following] == [s.shape for s in state]
    assert core.summary(following).shape == (2, core.summary_size)
    both = torch.cat([state[0], following[0]])
    assert core.canvas(both).shape == (4, 4, 5, 7)


def test_the_lstm_equals_torchs_fused_lstm() -> None:
    """Step by step as torch's own layer over the whole sequence."""
    torch.manual_seed(0)
    core = LSTMCore(6, 3, (4, 2, 2), hidden=8)
    fused = torch.nn.LSTM(9, 8, batch_first=True)
    fused.load_state_dict({f"{name}_l0": value for name, value in core.cell.state_dict().items()})
    context, inputs = torch.randn(2, 6), torch.randn(2, 5, 3)
    state = core.begin(context, torch.zeros(2, 4, 2, 2))
    start = (state[0].unsqueeze(0), state[1].unsqueeze(0))
    expected, _ = fused(torch.cat([inputs, context.unsqueeze(1).expand(-1, 5, -1)], dim=2), start)
    for t in range(5):
        state = core(inputs[:, t], state)
        torch.testing.assert_close(core.summary(state), expected[:, t], atol=1e-5, rtol=1e-4)
