"""Classes that a configuration may and may not build."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from genimg.common.build import Builder, check_class, check_name, packaged
from genimg.common.errors import UserError
from genimg.common.services import SERVICES

NETWORK = {
    "_target_": "genimg.models.networks.conv.Backbone",
    "shape": {
        "_target_": "genimg.models.networks.shape.NetworkShape",
        "image_size": 8,
        "channels": 1,
        "width": 2,
        "max_width": 4,
        "hidden": 3,
        "smallest": 4,
    },
}


def test_modules_and_factories_are_built() -> None:
    network = Builder(()).build(NETWORK)
    assert network.from_image.weight.shape == (4, 1, 4, 4)
    factory = Builder(()).build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert factory(network.parameters()).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "webbrowser.open",
        "torch.load",
        "genimg.common.build.importlib.import_module",  # starts with an allowed package
        "genimg.launch.start.start",
        "genimg.models.gan.torch.load",
        "genimg.models.networks.layers.class_vectors",  # a function
        "torch.optim.lr_scheduler.warnings.warn",
        "genimgevil.Model",
        "genimg.launch.start.RunFolder",  # of this package, but no part of a model
        "genimg.training.callbacks.samples.Samples",
        "genimg.data.cache.Cache",
        "genimg.models.networks.frames.Generator",  # defined elsewhere
        "genimg.models.gan.Any",
        "genimg.models.networks.layers.nn.Module",
        "torch.optim.lr_scheduler.LambdaLR",
    ],
)
def test_an_untrusted_configuration_cannot_name_other_classes(target: str) -> None:
    with pytest.raises(UserError) as refused:
        Builder(()).build({"network": NETWORK, "inner": [{"_target_": target}]})
    assert "inner[0]._target_" in str(refused.value) and target in str(refused.value)


@pytest.mark.parametrize("place", ["lr", "inner"])
def test_an_interpolation_cannot_add_a_target(place: str, tmp_path: Path) -> None:
    late = f"${{oc.create:{{_target_:logging.FileHandler,filename:{tmp_path}/made}}}}"
    node: dict[str, object] = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1.0, "inner": [1]}
    node[place] = late if place == "lr" else [{"a": late}]
    with pytest.raises(UserError, match="resolved"):
        Builder(()).build(node)
    assert not (tmp_path / "made").exists()


def test_a_trusted_package_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine")
    exec("class Net:\n    pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "mine", module)
    with pytest.raises(UserError, match="trust"):
        Builder(()).build({"_target_": "mine.Net"})
    assert type(Builder(["mine"]).build({"_target_": "mine.Net"})).__name__ == "Net"


def test_trust_in_one_class_does_not_extend_to_its_package() -> None:
    node = {"_target_": "genimg.data.digits.Digits"}
    assert Builder(["genimg.data.digits.Digits"]).build(node).margin == 1
    for wrong in (["genimg.data.digits.Digit"], ["genimg.data.resize"]):
        with pytest.raises(UserError):
            Builder(wrong).build(node)


def test_the_packaged_yaml_of_models_needs_no_trust() -> None:
    """`packaged` returns classes that open nothing when they are built; models need none of them."""
    for group in ("model", "data", "callbacks", "logger"):
        assert packaged(group)
        for name in packaged(group):
            check_class("", name, packaged(group))
    assert not SERVICES.keys() & set(packaged("logger"))  # these connect to wherever their arguments say
    for name in packaged("model"):
        check_name("", name, ())


def test_an_exception_in_a_class_is_a_user_error_if_the_configuration_is_untrusted() -> None:
    node = {**NETWORK, "channels": [1]}
    with pytest.raises(UserError):
        Builder(()).build(node)
    with pytest.raises(UserError):
        Builder(()).build({**NETWORK, "width": 10**30})
    with pytest.raises(UserError):
        Builder(()).build({**NETWORK, "width": {1, 2}})


def test_the_nearest_name_is_a_hint() -> None:
    with pytest.raises(UserError, match="did you mean Backbone"):
        Builder().build({"_target_": "genimg.models.networks.conv.Backbon"})


def test_a_missing_package_is_an_error() -> None:
    with pytest.raises(UserError, match="no_such_package"):
        Builder().build({"_target_": "no_such_package.Thing"})


def test_nothing_is_built_if_one_target_is_refused() -> None:
    """The complete tree is checked before its first leaf is built."""
    made: list[int] = []
    original = torch.nn.Conv2d.__init__

    def spy(self: torch.nn.Conv2d, *arguments: object, **keywords: object) -> None:
        made.append(1)
        original(self, *arguments, **keywords)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv2d, "__init__", spy)
        with pytest.raises(UserError):
            Builder(()).build([NETWORK, {"_target_": "os.system"}])
    assert not made


def test_a_value_that_a_class_refuses_is_an_error() -> None:
    with pytest.raises(UserError, match="got 'rotate'"):
        Builder().build(
            {"_target_": "genimg.models.networks.augmentation.Augmentation", "policy": ["rotate"], "probability": None}
        )


def test_a_target_that_hydra_refuses_is_an_error() -> None:
    with pytest.raises(UserError, match="model"):
        Builder().build({"_target_": "os.system", "command": "true"}, key="model")


def test_the_error_of_a_refused_value_names_its_key() -> None:
    node = {"_target_": "torch.nn.Sequential", "_args_": [{**NETWORK, "channels": "many"}]}
    with pytest.raises(UserError) as error:
        Builder().build(node, key="model")
    assert error.value.key == "model._args_0"


@pytest.mark.parametrize("special", ["_args_", "_recursive_", "_convert_"])
def test_a_file_gives_no_parameter_without_its_name(special: str) -> None:
    node = {"model": {"_target_": "torch.optim.Adam", special: ["elsewhere"]}}
    with pytest.raises(UserError, match="by name") as error:
        Builder(trust=()).build(node)
    assert error.value.key == f"model.{special}"
