"""What a configuration may build, and what it must not."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from genimg.common.build import build, check_class, check_name, packaged
from genimg.common.errors import UserError

NETWORK = {
    "_target_": "genimg.models.networks.trunk.Trunk",
    "image_size": 8,
    "channels": 1,
    "width": 2,
    "max_width": 4,
    "hidden": 3,
    "smallest": 4,
}


def test_it_builds_with_arguments_and_factories() -> None:
    network = build(NETWORK, trust=())
    assert network.from_image.weight.shape == (4, 1, 4, 4)
    factory = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}, trust=())
    assert factory(network.parameters()).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "webbrowser.open",
        "torch.load",
        "genimg.common.build.importlib.import_module",  # begins well, ends elsewhere
        "genimg.launch.start.start",
        "genimg.models.gan.torch.load",
        "genimg.models.networks.blocks.pyramid",  # a function
        "torch.optim.lr_scheduler.warnings.warn",
        "genimgevil.Model",
        "genimg.launch.start.RunFolder",  # ours, and no part of a model
        "genimg.training.callbacks.samples.Samples",
        "genimg.data.cache.Cache",
        "genimg.models.networks.frames.Generator",  # made elsewhere
        "genimg.models.gan.Any",
        "genimg.models.networks.blocks.nn.Module",
        "torch.optim.lr_scheduler.LambdaLR",
    ],
)
def test_a_stranger_cannot_name_what_is_not_allowed(target: str) -> None:
    with pytest.raises(UserError) as refused:
        build({"network": NETWORK, "inner": [{"_target_": target}]}, trust=())
    assert "inner[0]._target_" in str(refused.value) and target in str(refused.value)


@pytest.mark.parametrize("place", ["lr", "inner"])
def test_an_interpolation_cannot_bring_a_target_in_later(place: str, tmp_path: Path) -> None:
    late = f"${{oc.create:{{_target_:logging.FileHandler,filename:{tmp_path}/made}}}}"
    node: dict[str, object] = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1.0, "inner": [1]}
    node[place] = late if place == "lr" else [{"a": late}]
    with pytest.raises(UserError, match="resolved"):
        build(node, trust=())
    assert not (tmp_path / "made").exists()


def test_a_trusted_package_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine")
    exec("class Net:\n    pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "mine", module)
    with pytest.raises(UserError, match="trust"):
        build({"_target_": "mine.Net"}, trust=())
    assert type(build({"_target_": "mine.Net"}, trust=["mine"])).__name__ == "Net"


def test_one_class_may_be_trusted_and_no_other_of_its_package() -> None:
    node = {"_target_": "genimg.data.digits.Digits"}
    assert build(node, trust=["genimg.data.digits.Digits"]).margin == 1
    for wrong in (["genimg.data.digits.Digit"], ["genimg.data.fit"]):
        with pytest.raises(UserError):
            build(node, trust=wrong)


def test_our_own_yaml_is_built_of_what_a_stranger_may_name() -> None:
    """What `packaged` gives are classes that open nothing before they are asked to, and models need none of it."""
    for group in ("model", "data", "callbacks", "logger"):
        assert packaged(group)
        for name in packaged(group):
            check_class("", name, packaged(group))
    for name in packaged("model"):
        check_name("", name, ())


def test_what_a_class_raises_is_a_message_where_the_configuration_is_a_strangers() -> None:
    node = {**NETWORK, "channels": [1]}
    with pytest.raises(UserError):
        build(node, trust=())
    with pytest.raises(UserError):
        build({**NETWORK, "width": 10**30}, trust=())
    with pytest.raises(UserError):
        build({**NETWORK, "width": {1, 2}}, trust=())


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UserError, match="did you mean Trunk"):
        build({"_target_": "genimg.models.networks.trunk.Trnk"}, trust=None)


def test_a_missing_package_is_a_message() -> None:
    with pytest.raises(UserError, match="no_such_package"):
        build({"_target_": "no_such_package.Thing"}, trust=None)


def test_nothing_is_built_where_one_target_is_refused() -> None:
    """The whole tree is checked before its first leaf is made."""
    made: list[int] = []
    original = torch.nn.Conv2d.__init__

    def spy(self: torch.nn.Conv2d, *arguments: object, **keywords: object) -> None:
        made.append(1)
        original(self, *arguments, **keywords)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Conv2d, "__init__", spy)
        with pytest.raises(UserError):
            build([NETWORK, {"_target_": "os.system"}], trust=())
    assert not made


def test_a_value_that_a_class_refuses_is_a_message() -> None:
    with pytest.raises(UserError, match="got 'rotate'"):
        build({"_target_": "genimg.models.networks.augmentation.DiffAugment", "policy": ["rotate"]})


def test_what_hydra_itself_refuses_is_one_message() -> None:
    with pytest.raises(UserError, match="model"):
        build({"_target_": "os.system", "command": "true"}, key="model")


def test_a_value_that_a_class_refuses_is_told_by_its_key() -> None:
    node = {"_target_": "torch.nn.Sequential", "_args_": [{**NETWORK, "channels": "many"}]}
    with pytest.raises(UserError) as error:
        build(node, key="model")
    assert error.value.key == "model._args_0"
