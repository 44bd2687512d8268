"""LPIPS against its definition, with random weights of AlexNet: torchvision's weights are a download."""

import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchmetrics
from torch import Tensor
from torchvision.models import alexnet

from genimg.common.errors import UserError
from genimg.evaluation.metrics import lpips
from tests.evaluation.features.test_extractors import Evil
from tests.evaluation.test_figures import CPU, some_images

# of each activation: the convolution's number, its options, and whether a pooling comes first
LAYERS = [(0, {"stride": 4, "padding": 2}, False), (3, {"padding": 2}, True), (6, {"padding": 1}, True)]
LAYERS += [(number, {"padding": 1}, False) for number in (8, 10)]
SHIFT, SCALE = (torch.tensor(x)[:, None, None] for x in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """A folder as torch's cache, and the random weights in it; expanded zeros for the unused layers."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in alexnet().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=generator) * (2 / shape[1:].numel()) ** 0.5
        if name.startswith("features")
        else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.save(weights, folder / "checkpoints" / "alexnet-owt-7be5be79.pth")
    return folder, weights


def by_definition(a: Tensor, b: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Zhang et al. 2018, eq. 1: floats (N, 3, H, W) in [-1, 1] -> (N,)."""
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    linear = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
    both = (torch.cat([a, b]) - SHIFT) / SCALE
    total = torch.zeros(len(a))
    for index, (number, options, pooled) in enumerate(LAYERS):
        both = F.max_pool2d(both, 3, 2) if pooled else both
        both = F.conv2d(
            both, weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], **options
        ).relu()
        one, other = F.normalize(both, dim=1).chunk(2)
        total += (linear[f"lin{index}.model.1.weight"] * (one - other).square()).sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 40)])
def test_lpips_equals_its_definition(
    alex: tuple[Path, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch, channels: int, side: int
) -> None:
    folder, weights = alex
    monkeypatch.setattr(torch.hub, "_hub_dir", str(folder))
    assert lpips.unavailable() is None
    a, b = (some_images(3, seed, side).expand(-1, channels, -1, -1) for seed in (0, 1))
    distance = lpips.load_lpips(CPU)
    one, other = (part.expand(-1, 3, -1, -1).float() / 127.5 - 1 for part in (a, b))
    assert distance(a, b).tolist() == pytest.approx(by_definition(one, other, weights).tolist(), rel=1e-4)
    assert distance(a, a).abs().max() == 0
    assert distance(a[:1, :, :8, :9], b[:1, :, :8, :9]).shape == (1,)  # smaller than the input of AlexNet


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    reason = lpips.unavailable()
    assert reason and str(tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth") in reason and "https://" in reason


def test_a_damaged_file_and_untrusted_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for content in (b"PK cut short", pickle.dumps(Evil())):
        (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(content)
        with pytest.raises(UserError, match="alexnet-owt"):
            lpips.load_lpips(CPU)
    assert not Path("evil-was-here").exists()
