"""task=evaluate end to end: its results, its cache and its errors."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.evaluation.likelihood import independent_log_likelihood
from genimg.evaluation.subject import load_data, read_images
from genimg.sampling.images.files import save_png
from genimg.tasks import evaluate
from tests.conftest import Answer
from tests.trained import run_folder

SHORT = ["budget.images=64", "data.batch_size=16", "model.width=4", "data.image_size=16", "callbacks=none"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of a few steps of each model."""
    folder = tmp_path_factory.mktemp("runs")
    words = {
        "gan": ["model=gan", "model.conditional=true"],
        "projected": ["model=gan", "model/network=projected", "model.max_width=8", "model.hidden=16"],
        "vae": ["model=vae", "model.prior=normal"],
        "code_rnn": ["model=code_rnn"],
        "rnn": ["model=rnn", "data.num_frames=4"],
        "flat": ["data=image_folder", f"data.root={folder / 'flat images'}", "data.test_fraction=0.25"],
    }
    (folder / "flat images").mkdir()
    generator = torch.Generator().manual_seed(0)
    for index in range(40):
        noise = torch.randint(0, 256, (3, 20, 24), generator=generator, dtype=torch.uint8)
        save_png(noise, folder / "flat images" / f"{index}.png")
    return {name: run_folder(folder / name, *own, *SHORT) for name, own in words.items()}


def config(run: Path, **settings: Any) -> dict[str, Any]:
    return {
        "run": str(run), "checkpoint": "best", "num_images": 40, "features": "random", "weights": None,
        "importance_samples": 2, "seed": 0, "root": None, "cache": False, "device": "cpu", "out": None,
        "outputs": "outputs", "trust": [], "temperature": 1.0, "guidance": None, "truncation": None,
        "truncation_psi": None,
    } | settings  # fmt: skip


def figures(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / "evaluation.json").read_text())
    return {figure["name"]: figure for figure in content["figures"]}


def test_a_gan_has_sample_quality_and_no_likelihood(runs: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert evaluate.run(config(runs["gan"])) == 0
    assert "test split" in caplog.text and "rounded to 8 bits; preprocessing: pixels from -1 to 1" in caplog.text
    content = json.loads((runs["gan"] / "evaluation.json").read_text())
    assert "no probability" in content["refused"]["likelihood"]
    assert content["data"]["split"] == "test" and content["extractor"]["name"] == "random"
    found = figures(runs["gan"])
    assert found["frechet distance"]["n"] == 40
    assert found["frechet distance"]["value"] > found["frechet distance"]["floor"]
    assert found["parameters of the generator"]["value"] > 0 and found["images seen"]["value"] == 64
    assert not {"ssim", "bits_per_dim"} & set(found)
    assert (runs["gan"] / "nearest.png").stat().st_size > 0
    assert any(RunFolder(runs["gan"]).tensorboard.rglob("events*"))


def test_a_vae_has_reconstructions_and_a_likelihood(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    evaluate.run(config(runs["vae"], out=str(tmp_path / "new")))
    found = figures(tmp_path / "new")
    assert -1 <= found["ssim"]["value"] <= 1 and -1 <= found["ssim"]["floor"] <= 1
    assert "AlexNet" in json.loads((tmp_path / "new" / "evaluation.json").read_text())["refused"]["lpips"]
    assert found["bits_per_dim"]["kind"] == "upper bound, K = 2"
    nats = -found["log p(x)"]["value"]
    assert found["bits_per_dim"]["value"] == pytest.approx(nats / (256 * torch.log(torch.tensor(2.0)).item()), rel=1e-6)
    assert not (runs["vae"] / "evaluation.json").exists()
    images = read_images(load_data(load_checkpoint(RunFolder(runs["vae"]).last), None, ()))
    floor = float(independent_log_likelihood(images.train, images.test).mean())
    assert found["log p(x)"]["floor"] == pytest.approx(floor)
    assert found["bits_per_dim"]["floor"] / floor == pytest.approx(-found["bits_per_dim"]["value"] / nats)


def test_an_rnn_is_compared_with_a_repeated_frame(runs: dict[str, Path]) -> None:
    evaluate.run(config(runs["rnn"], num_images=10))
    found = figures(runs["rnn"])
    assert len(found["mse, best"]["by_horizon"]) == len(found["mse, best"]["floor_by_horizon"]) == 3
    assert found["mse, best"]["value"] <= found["mse, mean"]["value"]
    refused = json.loads((runs["rnn"] / "evaluation.json").read_text())["refused"]
    assert ("lpips, mean" in found) != ("lpips" in refused)  # or the reason
    assert found["mse, best"]["n"] == 10 and "images seen" not in found


@pytest.mark.parametrize("model", ["gan", "vae", "code_rnn", "rnn"])
def test_every_metric_has_a_floor(runs: dict[str, Path], tmp_path: Path, model: str) -> None:
    evaluate.run(config(runs[model], out=str(tmp_path / "new"), num_images=10))
    found = json.loads((tmp_path / "new" / "evaluation.json").read_text())["figures"]
    assert {figure["group"] for figure in found} > {"cost"}
    assert not [figure["name"] for figure in found if figure["floor"] is None and figure["group"] != "cost"]


def test_the_same_seed_gives_the_same_metrics(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        evaluate.run(
            config(runs["gan"], out=str(tmp_path / name), seed=int(name == "c"), cache=str(tmp_path / "cache"))
        )
    a, b, c = (figures(tmp_path / name)["frechet distance"]["value"] for name in ("a", "b", "c"))
    assert a == b != c
    cached = list((tmp_path / "cache").glob("reference-*.pt"))
    assert len(cached) == 1


def test_the_reference_of_the_real_images_is_computed_once(runs: dict[str, Path], tmp_path: Path) -> None:
    """It is one for all runs on the data and all seeds, and another for each number of images."""
    cache = tmp_path / "cache"

    def references(out: str, run: str, **settings: Any) -> dict[Path, int]:
        evaluate.run(config(runs[run], out=str(tmp_path / out), cache=str(cache), **settings))
        return {path: path.stat().st_mtime_ns for path in cache.glob("reference-*.pt")}

    first = references("a", "gan")
    assert len(first) == 1
    assert references("b", "gan") == references("c", "vae", seed=1) == first
    assert len(references("d", "gan", num_images=39)) == 2
    a, b, c = (figures(tmp_path / name) for name in "abc")
    names = ("frechet distance", "kernel distance", "precision", "recall", "density", "coverage", "copying")
    assert all((a[name]["value"], a[name]["floor"]) == (b[name]["value"], b[name]["floor"]) for name in names)
    assert all(a[name]["floor"] == c[name]["floor"] for name in names)


def test_the_classifier_is_the_default_for_data_with_labels(runs: dict[str, Path], tmp_path: Path) -> None:
    evaluate.run(config(runs["gan"], features="auto", out=str(tmp_path), cache=str(tmp_path / "cache")))
    found = figures(tmp_path)
    assert 0 <= found["class accuracy"]["value"] <= 1 and found["class coverage"]["floor"] > 0.8
    assert sorted(file.name.split("-")[0] for file in (tmp_path / "cache").iterdir()) == ["classifier", "reference"]


def test_the_floor_is_of_images_that_the_classifier_has_not_seen(tmp_path: Path) -> None:
    """Noise with random labels can only be memorised: the classifier is sure of the images that it has seen alone."""
    generator = torch.Generator().manual_seed(0)
    for index, noise in enumerate(torch.randint(0, 256, (240, 3, 8, 8), generator=generator, dtype=torch.uint8)):
        folder = tmp_path / "noise" / f"class {index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        save_png(noise, folder / f"{index}.png")
    data = ["data=image_folder", f"data.root={tmp_path / 'noise'}", "data.test_fraction=0.25", "data.image_size=8"]
    run = run_folder(tmp_path / "run", "model=gan", *SHORT, *data)
    evaluate.run(config(run, features="classifier", num_images=50, cache=str(tmp_path / "cache")))
    (trained,), (kept,) = (list((tmp_path / "cache").glob(f"{name}-*.pt")) for name in ("classifier", "reference"))
    state, features = (torch.load(file, weights_only=True) for file in (trained, kept))
    confidence, errors = {}, []
    for part in ("train", "floor", "test"):
        logits = features[part] @ state["state"]["head.weight"].T + state["state"]["head.bias"]
        surest = logits.softmax(1).amax(1)
        confidence[part] = float(surest.mean())
        errors.append(float(surest.std()) / len(surest) ** 0.5)
    assert len(features["floor"]) == 50
    assert abs(confidence["floor"] - confidence["test"]) < 4 * math.hypot(*errors[1:])  # four standard errors
    assert confidence["train"] > 0.9
    content = json.loads((run / "evaluation.json").read_text())
    assert content["extractor"]["trained on"] == 171 - 60  # 60 of 171 training images are kept for floors


def test_a_folder_without_labels_needs_no_classifier(runs: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    assert evaluate.run(config(runs["flat"], features="auto", out=str(tmp_path))) == 0
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["extractor"]["name"] == "efficientnet_lite0"
    assert {figure["group"] for figure in content["figures"]} == {"sample quality", "cost"}
    assert figures(tmp_path)["frechet distance"]["n"] == 10  # a quarter of 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "classifier"}, "data with labels"),
        ({"checkpoints": "none"}, "a run with a checkpoint"),
        ({"checkpoints": "cut short"}, "a checkpoint written by genimg-train"),
        ({"images": 40}, "the data of the run"),  # of another size
        ({"guidance": 2.0}, "guidance: got .*2.0"),
        ({"images": 12}, "root: got .*the folder of the run's data"),  # fewer than a batch
    ],
)
def test_a_run_that_cannot_be_evaluated_is_one_message(
    runs: dict[str, Path], tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    run = shutil.copytree(runs["flat"], tmp_path / "run")
    last = RunFolder(run).last
    given = {name: value for name, value in settings.items() if name not in ("checkpoints", "images")}
    if settings.get("checkpoints") == "none":
        shutil.rmtree(last.parent)
    elif "checkpoints" in settings:
        for file in last.parent.iterdir():
            file.write_bytes(last.read_bytes()[:5000])
    elif "images" in settings:
        (tmp_path / "others").mkdir()
        for index in range(settings["images"]):
            save_png(torch.full((3, 30, 30), 6 * index, dtype=torch.uint8), tmp_path / "others" / f"{index}.png")
        given["root"] = str(tmp_path / "others")
    with pytest.raises(UserError, match=f"(?s){message}"):
        evaluate.run(config(run, **given))
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize("narrow", [{"truncation": 1e-6}, {"truncation_psi": 0.0}, {"temperature": 0.0}])
def test_the_samples_are_drawn_as_the_settings_say(
    runs: dict[str, Path], tmp_path: Path, narrow: dict[str, Any]
) -> None:
    evaluate.run(config(runs["gan"], out=str(tmp_path), **narrow))
    assert figures(tmp_path)["recall"]["value"] < 0.1, "one image per class"
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert narrow.items() <= written["settings"].items()


def with_data(run: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a run whose checkpoints have other data; `change` edits a checkpoint."""
    copy = shutil.copytree(run, folder)
    for file in RunFolder(copy).last.parent.iterdir():
        checkpoint = torch.load(file, weights_only=True)
        change(checkpoint)
        torch.save(checkpoint, file)
    return copy


def test_other_data_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    def change(checkpoint: Any) -> None:
        checkpoint["data"]["fingerprint"]["digest"] = "0" * 64

    with pytest.raises(UserError, match="another digest"):
        evaluate.run(config(with_data(runs["gan"], tmp_path / "run", change)))


@pytest.mark.parametrize(("key", "value"), [("out", "file/out"), ("root", "file")])
def test_an_unusable_folder_is_named_before_the_evaluation(
    runs: dict[str, Path], tmp_path: Path, key: str, value: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=key):
        evaluate.run(config(runs["gan"], **{key: str(tmp_path / value)}))


@pytest.mark.parametrize(("name", "number"), [("gan", 5), ("rnn", 1)])
def test_too_few_images_are_refused_before_a_classifier_is_trained(
    runs: dict[str, Path], tmp_path: Path, name: str, number: int
) -> None:
    with pytest.raises(UserError, match="num_images") as raised:
        evaluate.run(config(runs[name], num_images=number, features="classifier", cache=str(tmp_path)))
    assert "the test split has" in str(raised.value) and "test_fraction" not in str(raised.value)  # more images exist
    assert not list(tmp_path.rglob("classifier-*"))


def test_the_data_of_an_untrusted_run_execute_no_code(runs: dict[str, Path], tmp_path: Path) -> None:
    def change(checkpoint: Any) -> None:
        checkpoint["config"]["data"]["source"] = {"_target_": "os.system", "command": "touch evil-was-here"}

    with pytest.raises(UserError, match=r"os\.system"):
        evaluate.run(config(with_data(runs["gan"], tmp_path / "run", change)))
    assert not Path("evil-was-here").exists()


def test_the_data_of_an_untrusted_run_are_not_downloaded(runs: dict[str, Path], tmp_path: Path) -> None:
    def change(checkpoint: Any) -> None:
        images = {"_target_": "genimg.data.torchvision_sets.TorchvisionStills", "name": "MNIST", "download": True}
        checkpoint["config"]["data"]["source"] = {**images, "root": str(tmp_path / "elsewhere")}

    with pytest.raises(UserError, match="elsewhere"):
        evaluate.run(config(with_data(runs["gan"], tmp_path / "run", change)))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["num_images=0"], "num_images"),
        (["features=clasifier"], "did you mean features=classifier"),
        (["weights=w.pt", "features=inception"], "a file that exists"),
        (["weights=w.pt"], "features=inception"),
        (["root=nowhere"], "a folder that exists"),
        (["cache=3"], "true, false or a folder"),
        (["importance_samples=0"], "importance_samples"),
        (["data=mnist"], "takes its data from the run"),
        (["data.image_size=32"], "takes its data from the run"),
        (["run=nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_reported_before_torch_is_imported(
    command: Callable[..., Answer], runs: dict[str, Path], words: list[str], message: str
) -> None:
    given = words if words[0].startswith("run=") else [f"run={runs['gan']}", *words]
    answer = command("evaluate", *given)
    assert answer.code == 2 and message in answer.err and not answer.imported
    assert "Traceback" not in answer.err


def test_the_command_prints_a_table(command: Callable[..., Answer], runs: dict[str, Path], tmp_path: Path) -> None:
    answer = command(
        "evaluate", f"run={runs['gan']}", "num_images=40", "features=random", f"out={tmp_path / 'out'}",
        XDG_CACHE_HOME=str(tmp_path / "cache"), OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    (row,) = (line for line in answer.out.splitlines() if "frechet distance" in line)
    assert "proxy" in row and "40" in row
    assert (tmp_path / "cache" / "genimg-train" / "evaluation").is_dir()
    assert os.listdir(tmp_path / "out")


def test_the_extractor_that_a_gan_was_trained_on_is_never_the_only_judge(
    runs: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate.run(config(runs["projected"], features="efficientnet_lite0", out=str(tmp_path)))
    found = figures(tmp_path)
    assert found["frechet distance"]["value"] != found["frechet distance by classifier"]["value"]
    assert "which flatters it; classifier judges too" in caplog.text
