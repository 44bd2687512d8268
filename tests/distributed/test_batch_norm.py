"""Batch normalisation over the batches of two processes equals that over the complete batch."""

import pytest
import torch
from torch import Tensor, nn

from genimg.distributed.batch_norm import SynchronizedLayers
from genimg.distributed.data_parallel import all_reduce_sum
from tests.together import run_together

LAYERS = {
    "vectors": (nn.BatchNorm1d(3, momentum=None), (8, 3)),
    "maps": (nn.BatchNorm2d(3), (8, 3, 4, 4)),
    "untracked": (nn.BatchNorm2d(3, affine=False, track_running_stats=False), (8, 3, 4, 4)),
}

# One process. It saves the outputs for its half of the batch, and their first and second derivatives.
PROCESS = """
import os, sys, torch
from genimg.distributed.batch_norm import SynchronizedLayers
from genimg.distributed.data_parallel import join, leave
from genimg.common.ranks import rank
from tests.distributed.test_batch_norm import LAYERS, batch, evaluated, passed

torch.set_num_threads(1)
join(torch.device("cpu"))
found = {}
for name, (layer, shape) in LAYERS.items():
    model = SynchronizedLayers().apply(torch.nn.Sequential(layer))
    part = batch(shape)[rank()::2]
    found[name] = passed(model, part), evaluated(model, part), model.state_dict()
torch.save(found, f"{sys.argv[1]}/{rank()}.pt")
leave()
os._exit(0)
"""


def batch(shape: tuple[int, ...]) -> Tensor:
    return 5 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def passed(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The output of the second of two passes, and the first and second derivative of a function of it."""
    images = images.requires_grad_()
    model(images + 1)
    out = model(images)
    first = torch.autograd.grad(out.sin().sum(), images, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), images)[0]
    return [out.detach(), first.detach(), second]


@torch.no_grad()
def evaluated(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The output in eval mode, and in training with half precision; the running statistics are restored."""
    tracked = [buffer.clone() for buffer in model.buffers()]
    with torch.autocast("cpu", torch.bfloat16):
        out = [model.eval()(images), model.train()(images.bfloat16())]
    for buffer, before in zip(model.buffers(), tracked, strict=True):
        buffer.copy_(before)
    return out


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("halves")
    run_together(PROCESS, [str(folder)], 2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_two_halves_are_normalised_like_the_complete_batch(name: str, halves: list[dict]) -> None:
    layer, shape = LAYERS[name]
    whole = nn.Sequential(layer)
    expected, (by_running_statistics, in_half) = passed(whole, batch(shape)), evaluated(whole, batch(shape))
    for rank, found in enumerate(halves):
        tensors, (in_eval, half), state = found[name]
        if layer.track_running_stats:  # otherwise by its own half, like torch
            torch.testing.assert_close(in_eval, by_running_statistics[rank::2])
        torch.testing.assert_close(half, in_half[rank::2], rtol=0.02, atol=0.02)
        for part, tensor in zip(tensors, expected, strict=True):
            torch.testing.assert_close(part, tensor[rank::2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(dict(state), dict(whole.state_dict()))


class Own(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_user_defined_layer_is_kept_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = SynchronizedLayers().apply(nn.Sequential(nn.Conv2d(3, 3, 1), Own(3)))
    assert type(model[1]) is Own  # pyright: ignore[reportIndexIssue]
    assert "1 is a user-defined Own" in caplog.text


def test_the_sum_over_a_single_process_is_the_tensor() -> None:
    assert torch.equal(all_reduce_sum(torch.arange(3)), torch.arange(3))


def test_in_a_single_process_the_layer_is_torchs() -> None:
    images = batch((8, 3, 4, 4))
    layer = nn.BatchNorm2d(3)
    weight, trained = layer.weight, layer(images)
    evaluated = layer.eval()(images)
    layer = SynchronizedLayers().apply(nn.Sequential(nn.BatchNorm2d(3), layer))[1]  # pyright: ignore[reportIndexIssue]
    assert layer.weight is weight
    assert torch.equal(layer(images), evaluated)
    assert torch.equal(layer.train()(images), trained)
