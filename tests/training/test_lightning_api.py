"""The private interfaces of Lightning are used in one module, and exist in the installed release."""

import re
from importlib.metadata import version
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy

from genimg.training import lightning_api

SOURCE = Path(__file__).parents[2] / "src" / "genimg"
PRIVATE = re.compile(
    r"_broadcast_sigterm_tensor|_signal_connector|_get_file_writer"
    r"|\b(trainer|fit_loop|epoch_loop|strategy|experiment|pl_module)\._[a-z]"
    r"|from (pytorch_lightning|lightning_fabric)[\w.]* import .*\b_[a-z]"
    r"|from (pytorch_lightning|lightning_fabric)[\w.]*\._"
)


def test_the_installed_release_was_verified() -> None:
    release = ".".join(version("pytorch-lightning").split(".")[:2])
    assert release in lightning_api.VERIFIED, "run the tests with this release, then add it"


def test_the_private_interfaces_exist() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    assert callable(trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor)
    assert callable(trainer._signal_connector.register_signal_handlers)
    assert callable(DDPStrategy.configure_ddp) and callable(DDPStrategy.post_backward)
    assert {"ddp", "fsdp"} <= set(lightning_api.strategy_names())


def test_no_other_module_uses_private_interfaces() -> None:
    uses = {
        str(path.relative_to(SOURCE)): found
        for path in SOURCE.rglob("*.py")
        if path.name != "lightning_api.py" and (found := PRIVATE.findall(path.read_text(encoding="utf-8")))
    }
    assert uses == {}
