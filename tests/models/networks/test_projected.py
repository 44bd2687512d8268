"""The discriminator of projected: heads on frozen features of ImageNet beside the slim discriminator."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from genimg.common.errors import UserError
from genimg.models.networks import efficientnet, slim
from genimg.models.networks.projected import Discriminator
from genimg.models.networks.shape import NetworkShape
from genimg.sampling.load import load
from tests.trained import run_folder

SHAPE = NetworkShape(image_size=64, channels=3, width=4, max_width=8, hidden=16, smallest=4, num_classes=0)


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(SHAPE)


def images(count: int) -> torch.Tensor:
    return 2 * torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1


def test_the_features_are_not_trained_and_not_saved(discriminator: Discriminator) -> None:
    network = discriminator.maps.network(torch.device("cpu"))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    discriminator.train().judge(images(4)).mean().backward()
    torch.optim.SGD(discriminator.parameters(), lr=1.0).step()
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    assert not any(name.startswith("maps.") for name in discriminator.state_dict())
    alone, beside_others = discriminator.judge(images(1)), discriminator.judge(images(4))[:1]
    torch.testing.assert_close(beside_others, alone)  # the statistics are those of ImageNet


def test_every_map_counts_as_much_as_the_places_of_slim(discriminator: Discriminator) -> None:
    given = images(2)
    logits = discriminator.judge(given)
    means = [slim.Discriminator.judge(discriminator, given)[:, 1:].mean(1)]
    for head, found in zip(discriminator.heads, discriminator.maps(given), strict=True):
        of_length_one = F.normalize(found, dim=1) * found.shape[1] ** 0.5
        means.append(head(of_length_one).mean((1, 2, 3)))
    torch.testing.assert_close(logits[:, 1:].mean(1), torch.stack(means).mean(0))
    torch.testing.assert_close(logits[:, 0], discriminator(given))


@pytest.mark.parametrize("index", range(4))
def test_every_head_has_a_gradient_in_the_image(discriminator: Discriminator, index: int) -> None:
    given = images(1).requires_grad_()
    discriminator.heads[index](discriminator.maps(given)[index]).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().mean() > 0


def test_a_run_is_resumed_and_sampled(tmp_path: Path) -> None:
    words = ["model=gan", "model/network=projected", "data=digits", "data.image_size=8", "data.batch_size=16"]
    words += ["model.width=4", "model.max_width=8", "model.hidden=16", "callbacks=none", "logger=none"]
    folder = run_folder(tmp_path / "run", *words, "budget.images=32")
    run_folder(folder, *words, "budget.images=64", f"resume={folder}")
    assert load(folder).sample(2).shape == (2, 1, 8, 8)


def test_without_its_package_it_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(efficientnet, "import_module", missing)
    with pytest.raises(UserError, match="efficientnet_lite_pytorch") as mistake:
        Discriminator(SHAPE).judge(images(1))
    assert (mistake.value.key, mistake.value.hint) == ("model/network", 'pip install "genimg-train[metrics]"')
