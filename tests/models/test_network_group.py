"""The config group model/network: a choice provides the networks of a model."""

from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.config.compose import Composer
from genimg.launch.session import check

NETWORKS = Path(__file__).parents[2] / "configs" / "model" / "network"
DEFAULTS = {
    "gan": "slim",
    "vae": "conv",
    "rnn": "moving_layers",
    "pixel_rnn": "row_gru",
    "draw": "glimpses",
    "code_rnn": "fsq",
    "convlstm": "conv_lstm",
}
MODEL_OF = {
    "slim": "gan",
    "projected": "gan",
    "r3gan": "gan",
    "dcgan": "gan",
    "resnet": "gan",
    "stylegan2": "gan",
    "conv": "vae",
    "moving_layers": "rnn",
    "row_gru": "pixel_rnn",
    "row_lstm": "pixel_rnn",
    "diagonal_bilstm": "pixel_rnn",
    "glimpses": "draw",
    "fsq": "code_rnn",
    "vq": "code_rnn",
    "conv_lstm": "convlstm",
    "predrnn": "predrnn",
    "phydnet": "phydnet",
}


@pytest.mark.parametrize("model", DEFAULTS)
def test_every_model_has_a_default_architecture(model: str) -> None:
    config, chosen = (
        check(Composer("train"), [f"model={model}", *words], on_this_machine=False)
        for words in ([], [f"model/network={DEFAULTS[model]}"])
    )
    assert config.model == chosen.model


@pytest.mark.parametrize("network", sorted(path.stem for path in NETWORKS.glob("*.yaml")))
def test_a_network_of_another_model_is_refused(network: str) -> None:
    """By the model after its own in the list; its own takes it."""
    models = list(DEFAULTS)
    own = MODEL_OF[network] if MODEL_OF[network] in DEFAULTS else "convlstm"  # predictors of frames share networks
    other = models[(models.index(own) + 1) % len(models)]
    check(Composer("train"), [f"model={MODEL_OF[network]}", f"model/network={network}"], on_this_machine=False)
    with pytest.raises(UserError, match=DEFAULTS[other]) as refused:
        check(Composer("train"), [f"model={other}", f"model/network={network}"], on_this_machine=False)
    assert refused.value.key == "model/network"


def test_a_network_may_define_helper_nodes(tmp_path: Path) -> None:
    (tmp_path / "model" / "network").mkdir(parents=True)
    helper = "\nmapping:\n  _target_: mynets.Mapping\n"
    (tmp_path / "model" / "network" / "mine.yaml").write_text((NETWORKS / "slim.yaml").read_text() + helper)
    config = check(Composer("train", tmp_path), ["model/network=mine"], on_this_machine=False)
    assert config.model.mapping._target_ == "mynets.Mapping"


def test_a_new_architecture_is_one_python_and_one_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "model" / "network").mkdir(parents=True)
    text = (NETWORKS / "slim.yaml").read_text().replace("genimg.models.networks.slim.Generator", "mynets.Generator")
    (tmp_path / "model" / "network" / "mine.yaml").write_text(text.replace("smallest: 4", "smallest: 2"))
    config = check(Composer("train", tmp_path), ["model/network=mine"], on_this_machine=False)
    assert config.model.generator._target_ == "mynets.Generator"
    assert config.model.discriminator.shape.smallest == 2
