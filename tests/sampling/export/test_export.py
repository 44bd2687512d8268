"""Exports: the file alone draws the images of the model, as its card shows."""

from __future__ import annotations

import copy
import json
import re
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from genimg import load
from genimg.common.errors import UserError
from genimg.sampling.export import formats, weights
from genimg.sampling.export.generator import ExportableGenerator
from genimg.sampling.load import from_checkpoint
from genimg.tasks import export
from tests.report.made import make_run
from tests.trained import checkpoint

MODELS = {
    "gan": ["model=gan"],
    "tiles": ["model=gan", "model.padding=circular"],
    "classes": ["model=gan", "model.conditional=true"],
    "r3gan": ["model/network=r3gan", "model.group_width=4"],
    "resnet": ["model/network=resnet", "model.conditional=true", "model.attention=4", "model.spectral_generator=true"],
    "stylegan2": ["model/network=stylegan2", "model.conditional=true", "model.padding=circular"],
    "vae": ["model=vae", "model.conditional=true"],
    "normal": ["model=vae", "model.prior=normal", "model.likelihood=bernoulli"],
    "draw": ["model=draw", "model.conditional=true", "model.glimpses=3"],
    "rnn": ["model=rnn", "model.layers=1", "data.num_frames=4"],
    "actions": ["model=rnn", "model.layers=1", "data.num_frames=4", "++data.num_actions=3"],
}
SEQUENCES = ("rnn", "actions")


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    """A checkpoint of each kind. The priors of the classes of the VAE are far apart."""
    found = {name: checkpoint(*words) for name, words in MODELS.items()}
    for name, tensor in found["vae"]["model"].items():
        if name.endswith("means"):
            tensor.add_(int(name.split(".")[2]))  # mixture.mixtures.CLASS.means
    for name in SEQUENCES:
        found[name]["model"]["starts.count"].fill_(3)
    return found


def config(file: Path, **settings: Any) -> dict[str, Any]:
    defaults = {
        "run": str(file),
        "checkpoint": "best",
        "num_frames": None,
        "out": None,
        "outputs": "outputs",
        "trust": [],
    }
    return defaults | settings


def exportable(content: dict[str, Any], num_frames: int | None = None) -> ExportableGenerator:
    return ExportableGenerator(from_checkpoint(content, "cpu"), num_frames)


QUICK = [
    *((name, format) for name in MODELS for format in ("safetensors", "torchscript")),
    ("gan", "pt2"), ("classes", "pt2"), ("gan", "onnx"), ("classes", "onnx"),
]  # fmt: skip
SLOW = [(name, format) for name in ("resnet", "stylegan2", "vae", "draw", *SEQUENCES) for format in ("pt2", "onnx")]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")  # in the code example; the category depends on torch
@pytest.mark.parametrize(("name", "format"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)])
def test_the_file_alone_draws_the_images_of_the_model_as_its_card_shows(
    name: str, format: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(made[name], tmp_path / "mine.pt")
    assert export.run(config(tmp_path / "mine.pt", format=format)) == 0
    folder = tmp_path / "export" / format
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", formats.FORMATS[format].file]
    original = exportable(made[name])
    read_back = formats.read(format, folder / formats.FORMATS[format].file, original, ())
    for count in (1, 3):
        inputs = original.example(count, seed=7)
        with torch.no_grad():
            torch.testing.assert_close(read_back(*inputs), original(*inputs), rtol=0, atol=1e-4)

    card = (folder / "README.md").read_text()
    difference = re.search(r"difference of a pixel is (\S+)\.\n", card)
    assert difference and float(difference[1]) < formats.TOLERANCE
    monkeypatch.chdir(folder)
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code[1] if code else "", names)
    images = np.asarray(names["images"].detach() if isinstance(names["images"], torch.Tensor) else names["images"])
    assert images.shape == (16, *((4,) if name in SEQUENCES else ()), 1, 8, 8)
    assert np.abs(images).max() <= 1


def test_the_card_of_a_user_defined_network_names_the_package_to_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_defined = "model.generator._target_=tests.normed.NormedGenerator"
    torch.save(checkpoint("model=gan", user_defined), tmp_path / "mine.pt")
    folder = tmp_path / "own"
    assert export.run(config(tmp_path / "mine.pt", format="safetensors", out=str(folder), trust=["tests"])) == 0
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code[1] if code else "", names)
    assert len(names["images"]) == 16


@pytest.mark.parametrize("name", MODELS)
def test_an_export_contains_the_generator_and_samples_like_its_checkpoint(
    name: str, made: dict[str, Any], tmp_path: Path
) -> None:
    torch.save(made[name], tmp_path / "mine.pt")
    export.run(config(tmp_path / "mine.pt", format="safetensors", out=str(tmp_path / "new")))
    model, _ = weights.read(tmp_path / "new" / "model.safetensors")
    assert not {"discriminator", "optimizer", "augment"} & dict(model.named_children()).keys()
    assert hasattr(model, "encoder") == (name in SEQUENCES)
    if name not in SEQUENCES:  # a start image that the checkpoint keeps
        ours, theirs = (load(tmp_path / file).sample(5, seed=3) for file in ("mine.pt", "new/model.safetensors"))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("Failed to export\nin a place"), "Failed to export"), (KeyError(), "KeyError")]
)
def test_a_model_that_the_exporter_cannot_translate_is_a_user_error(
    error: Exception, reason: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(UserError, match=f"cannot: {reason}") as caught:
        formats.write("onnx", exportable(made["gan"]), made["gan"], tmp_path)
    assert caught.value.key == "format"


def test_the_length_of_a_sequence_is_fixed_in_the_file(made: dict[str, Any]) -> None:
    clip = exportable(made["rnn"], num_frames=7)
    inputs = clip.example(2, seed=0)
    assert clip(*inputs).shape == (2, 7, 1, 8, 8)
    torch.testing.assert_close(clip(*inputs)[:, :1], inputs[0])
    shorter = exportable(made["rnn"], num_frames=5)
    torch.testing.assert_close(shorter(inputs[0], inputs[1][:, :5]), clip(*inputs)[:, :5])
    with pytest.raises(UserError, match="num_frames"):
        exportable(made["gan"], num_frames=7)


def test_the_ema_weights_are_exported(made: dict[str, Any]) -> None:
    content = made["gan"]
    doubled = {**content, "model": {name: 2 * tensor for name, tensor in content["model"].items()}}
    z = exportable(content).example(2, seed=0)
    torch.testing.assert_close(exportable(doubled)(*z), exportable(content)(*z))


def test_a_file_that_draws_other_images_is_not_kept(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(made["gan"], tmp_path / "mine.pt")
    monkeypatch.setattr(torch.jit, "load", lambda *_: lambda z: torch.zeros(len(z), 1, 8, 8) + 0.9)
    assert export.run(config(tmp_path / "mine.pt", format="torchscript")) == 1
    assert list((tmp_path / "export").iterdir()) == []


def test_nothing_is_overwritten_and_a_missing_package_is_named(
    made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(made["gan"], tmp_path / "mine.pt")
    for _ in range(2):
        export.run(config(tmp_path / "mine.pt", format="torchscript"))
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == ["torchscript", "torchscript-2"]
    with pytest.raises(UserError, match="empty"):
        export.run(config(tmp_path / "mine.pt", format="torchscript", out=str(tmp_path)))
    for package in ("onnx", "onnxscript"):  # as if installed
        monkeypatch.setitem(sys.modules, package, module_from_spec(ModuleSpec(package, None)))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"onnxruntime(.|\n)*genimg-train\[export\]"):
        export.run(config(tmp_path / "mine.pt", format="onnx"))
    assert not (tmp_path / "export" / "onnx").exists()


def test_the_card_lists_the_metrics_of_the_run_and_untrusted_names_are_escaped(
    made: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    evil = "`<script>alert(1)</script> | x\n# heading http://evil.example WWW.evil.example a@evil.example"
    content = {**made["classes"], "data": {**made["classes"]["data"], "classes": [evil] * 10}}
    run.checkpoints.mkdir(exist_ok=True)
    torch.save(content, run.last)
    torch.save(content, run.best)
    assert export.run(config(run.path, format="torchscript")) == 0
    card = (run.path / "export" / "torchscript" / "README.md").read_text()
    figure = json.loads((run.path / "evaluation.json").read_text())["figures"][0]
    assert f"| {figure['name']} | " in card
    assert "<script>" not in card and "\n# heading" not in card
    assert not re.search(r"(://|www\.|@)evil", card, re.IGNORECASE), "GitHub makes links of bare addresses"


def test_the_card_of_a_checkpoint_without_names_is_written(made: dict[str, Any], tmp_path: Path) -> None:
    content = copy.deepcopy({**made["gan"], "versions": {}})
    del content["config"]["model"]["name"], content["data"]["fingerprint"]["digest"]
    torch.save(content, tmp_path / "mine.pt")
    assert export.run(config(tmp_path / "mine.pt", format="torchscript", out=str(tmp_path / "new"))) == 0
    assert (tmp_path / "new" / "README.md").read_text().startswith("# a model on digits\n")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("config", "model", "generator", "_target_"), "os.system"),
        (("config", "model", "_target_"), "genimg.models.networks.slim.Generator"),
        (("config", "model", "generator", "shape", "width"), 10**9),
        (("config", "model", "discriminator", "shape", "width"), 10**4),
        (("config", "model", "generator", "latent_dim"), 5),
        (("config", "model", "lr"), "fast"),
        (("data", "image_shape"), [1, 10**6, 10**6]),
        (("data",), None),
        (("config",), 1),
    ],
)
def test_an_untrusted_export_is_checked_like_a_checkpoint(
    path: tuple[str, ...], value: Any, made: dict[str, Any], tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    torch.save(made["gan"], tmp_path / "mine.pt")
    export.run(config(tmp_path / "mine.pt", format="safetensors", out=str(tmp_path / "new")))
    with safe_open(tmp_path / "new" / "model.safetensors", framework="pt") as file:
        about, state = json.loads(file.metadata()["genimg"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    node = about
    for name in path[:-1]:
        node = node[name]
    assert path[-1] in node
    node[path[-1]] = value
    save_file(state, tmp_path / "evil.safetensors", metadata={"genimg": json.dumps(about)})
    if path[2:3] == ("discriminator",):  # it is removed before it takes memory
        assert load(tmp_path / "evil.safetensors").sample(1).shape == (1, 1, 8, 8)
        return
    with pytest.raises(UserError):
        load(tmp_path / "evil.safetensors")


def test_the_command_exports(command: Any, made: dict[str, Any], tmp_path: Path) -> None:
    torch.save(made["gan"], tmp_path / "mine.pt")
    answer = command("export", "run=mine.pt", "format=torchscript", "out=new")
    assert answer.code == 0 and "largest difference" in answer.out
    assert (tmp_path / "new" / "model.ts").is_file()
    refused = command("export", "run=mine.pt", "format=tflite")
    assert refused.code == 2 and "safetensors, torchscript, pt2 or onnx" in refused.err and not refused.imported
    assert OmegaConf.load(Path(__file__).parents[3] / "configs" / "export.yaml").format == "safetensors"
