"""The extractors and the sources of their weights."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.evaluation.features.choose import Request, extractor
from genimg.evaluation.features.classifier import FEATURES, classifier
from genimg.evaluation.features.extractor import Extractor

CPU = torch.device("cpu")


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes with noise: a bright column, a bright row."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (count, 1, 12, 12), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    places = torch.randint(0, 12, (count,), generator=generator)
    for image, label, place in zip(images, labels, places, strict=True):
        image[0].T[place] = 255 if label else image[0].T[place]
        image[0][place] = image[0][place] if label else 255
    return images, labels


def quick(cache_file: Path | None, steps: int = 60) -> Extractor:
    return classifier(bars(400, 0), bars(200, 1), 2, cache_file, CPU, min_epochs=1, min_steps=steps)


def test_the_classifier_learns_the_labels_and_is_cached(tmp_path: Path) -> None:
    file = tmp_path / "new" / "classifier.pt"
    state = torch.get_rng_state()
    first = quick(file)
    assert first.facts["accuracy"] > 0.9
    assert first(bars(30, 2)[0], CPU).shape == (30, FEATURES)
    assert first.head is not None
    cached = quick(file, steps=1)  # a new training would have other weights
    assert cached.digest == first.digest and cached.facts == first.facts
    file.write_bytes(b"PK cut short")
    assert quick(file).digest == first.digest
    assert torch.equal(torch.get_rng_state(), state)


def test_the_digest_covers_weights_and_preprocessing() -> None:
    torch.manual_seed(0)
    network: Any = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    digests = {Extractor("a", network, words).digest for words in ("one", "two", "one")}
    nn.init.zeros_(network[1].weight)
    digests.add(Extractor("a", network, "one").digest)
    assert len(digests) == 3


def choose(name: str, channels: int = 1, size: int = 32, **options: Any) -> Extractor:
    images = torch.zeros(4, channels, size, size, dtype=torch.uint8)
    trust = options.pop("trust", ())
    defaults: dict[str, Any] = {"weights": None, "num_classes": 0, "cache_file": None, "learned": None}
    reserved = torch.arange(0)
    request = Request(train=(images, None), test=(images, None), reserved=reserved, device=CPU, **(defaults | options))
    return extractor(name, request, trust)


def test_the_classifier_requires_labels() -> None:
    assert choose("auto").name == "efficientnet_lite0"
    assert choose("auto", learned="efficientnet_lite0").name == "random"  # it would judge what it has taught
    with pytest.raises(UserError, match="labels"):
        choose("classifier")


class Means(nn.Module):
    """A user-defined extractor."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3))


class Wrong(nn.Module):
    """Returns images instead of vectors."""

    def forward(self, images: Tensor) -> Tensor:
        return images.float()


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match="features"):
        choose("tests.evaluation.features.test_extractors.Wrong", trust=["tests"])(
            torch.zeros(2, 1, 8, 8, dtype=torch.uint8), CPU
        )


def test_a_cache_that_is_not_writable_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    found = quick(tmp_path / "file" / "classifier.pt", steps=1)
    assert found.facts["classes"] == 2 and "could not cache" in caplog.text


def test_a_user_defined_module_requires_trust() -> None:
    with pytest.raises(UserError, match="features"):
        choose("tests.evaluation.features.test_extractors.Means")
    found = choose("tests.evaluation.features.test_extractors.Means", trust=["tests"])
    assert torch.equal(found(torch.full((3, 1, 8, 8), 7, dtype=torch.uint8), CPU), torch.full((3, 1), 7.0))
    with pytest.raises(UserError, match="Module"):
        choose("tests.evaluation.features.test_extractors.Path", trust=["tests", "pathlib"])


@pytest.mark.parametrize("size", [8, 32, 50])
def test_efficientnet_repeats_the_channel_of_grey_images(size: int) -> None:
    found = choose("efficientnet_lite0")
    grey = torch.randint(0, 256, (2, 1, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    vectors = found(grey, CPU)
    assert vectors.shape == (2, 1280)
    torch.testing.assert_close(vectors, found(grey.expand(-1, 3, -1, -1), CPU))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r'pip install "genimg-train\[metrics\]"'):
        choose("auto")


@pytest.fixture
def inception_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights: the real ones are a download."""
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = fidelity.FeatureExtractorInceptionV3("inception", ["2048"])
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def test_inception_loads_weights_from_a_file(inception_weights: Path) -> None:
    found = choose("inception", weights=str(inception_weights))
    assert found(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), CPU).shape == (1, 2048)


def test_inception_downloads_its_weights_once(
    inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(fidelity, "URL_INCEPTION_V3", inception_weights.as_uri())
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    first = choose("inception")
    inception_weights.unlink()
    assert choose("inception").digest == first.digest


def test_a_failed_download_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(fidelity, "URL_INCEPTION_V3", (tmp_path / "missing.pt").as_uri())
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with pytest.raises(UserError, match="weights"):
        choose("inception")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("content", [nn.Linear(2, 3).state_dict(), torch.zeros(3)])
def test_weights_of_another_network_are_refused(tmp_path: Path, content: object) -> None:
    pytest.importorskip("torch_fidelity")
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(UserError, match="other names or shapes"):
        choose("inception", weights=str(tmp_path / "weights.pt"))


def test_inception_runs_no_untrusted_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.chdir(tmp_path)
    for content in (pickle.dumps(Evil()), b"no weights"):
        (tmp_path / "weights.pt").write_bytes(content)
        with pytest.raises(UserError, match="weights") as error:
            choose("inception", weights=str(tmp_path / "weights.pt"))
        assert "weights_only" not in str(error.value), "the message does not suggest unsafe loading"
    assert not Path("evil-was-here").exists()
