"""Malicious checkpoints: each is one error, in little memory and time, and none runs code."""

from __future__ import annotations

import itertools
import os
import pickle
import resource
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.checkpoints.pickled import check_pickle
from genimg.checkpoints.read import check_fits, load_checkpoint, load_to_resume, rebuild_model
from genimg.common.build import Builder
from genimg.common.errors import UserError
from tests.trained import checkpoint

GIB = 2**30
PROCESS = {"random": torch.get_rng_state(), "pending": [], "unwritten": []}
ROW = {"images_seen": 8}


@pytest.fixture(scope="module")
def valid() -> dict[str, dict[str, Any]]:
    words = {
        "gan": ["model=gan"],
        "classes": ["model=gan", "model.conditional=true"],
        "vae": ["model=vae", "model.conditional=true"],
        "rnn": ["model=rnn"],
        "draw": ["model=draw"],
    }
    return {name: checkpoint(*given) for name, given in words.items()}


def opened(content: Any, folder: Path) -> Any:
    """Writes a file and rebuilds the model from it, as `genimg sample` does."""
    torch.save(content, folder / "best.pt")
    return rebuild_model(load_checkpoint(folder / "best.pt"))


def changed(node: Any, path: str, value: Any) -> Any:
    """Returns a copy of nested dictionaries with one value replaced."""
    name, _, rest = path.partition("/")
    assert name in node, path
    return {**node, name: changed(node[name], rest, value) if rest else value}


@pytest.fixture(scope="module")
def usual_seconds(valid: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> float:
    """Processor time to open a valid checkpoint."""
    opened(valid["gan"], tmp_path_factory.mktemp("valid"))  # imports modules
    started = time.process_time()
    opened(valid["gan"], tmp_path_factory.mktemp("valid"))
    return time.process_time() - started


@pytest.fixture(autouse=True)
def limited_memory_and_time(usual_seconds: float) -> Iterator[None]:
    """A test may use 1 GiB, and the processor time to open some hundred valid checkpoints."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIB / 1024
    assert time.process_time() - started < 300 * usual_seconds


@pytest.mark.parametrize("name", ["gan", "classes", "vae", "rnn", "draw"])
def test_a_valid_checkpoint_is_opened(name: str, valid: dict[str, Any], tmp_path: Path) -> None:
    assert opened(valid[name], tmp_path).networks()
    assert load_to_resume(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("gan", "config/model/generator/shape/width", 10**9),
        ("gan", "config/model/generator/shape/width", 10**30),
        ("gan", "config/model/generator/shape/hidden", 10**6),
        ("gan", "config/model/generator/latent_dim", 10**12),
        ("gan", "config/model/generator/latent_dim", -4),
        ("gan", "config/model/latent_dim", 10**10),
        ("vae", "config/model/latent_dim", 10**10),
        ("gan", "config/model/generator/shape/image_size", 10**6),
        ("gan", "config/model/generator/shape/image_size", [8, 10**9]),
        ("gan", "config/model/generator/shape/smallest", 0),
        ("gan", "config/model/generator/shape/smallest", "4"),
        ("gan", "config/model/generator/shape/channels", 10**9),
        ("gan", "config/model/generator", {"_target_": "os.system", "command": "touch evil"}),
        ("gan", "config/model/generator", 7),
        ("gan", "config/model/generator_optimizer/_target_", "genimg.launch.start.start"),
        ("classes", "config/model/generator/shape/num_classes", 10**12),
        ("vae", "config/model/mixture/num_classes", 10**9),
        ("vae", "config/model/mixture/components", 10**9),
        ("vae", "config/model/num_classes", 11),
        ("rnn", "config/model/dynamics/shape/hidden", 10**9),
        ("rnn", "config/model/dynamics/layers", 10**9),
        ("rnn", "config/model/image_size", [10**6, 10**6]),
        ("rnn", "data/num_frames", 10**9),
        ("draw", "config/model/glimpses", 10**9),
        ("draw", "config/model/glimpse_decoder/write_size", 10**9),
        ("draw", "config/model/glimpse_encoder/read_size", 10**9),
        ("draw", "config/model/latent_dim", 10**10),
        ("gan", "data/image_shape", [1, 10**6, 10**6]),
        ("gan", "data/image_shape", [1, 8]),
        ("gan", "data/classes", [[1]]),
        ("gan", "data/actions", [[1]]),
        ("rnn", "config/model/num_actions", 3),
        ("rnn", "config/model/dynamics/num_actions", 10**12),
        ("gan", "data/fingerprint", {}),
        ("gan", "data", None),
        ("gan", "config", {}),
        ("gan", "config/model", {}),
        ("gan", "model", [1]),
        ("gan", "ema", {"generator.fc1.weight": "text"}),
        ("gan", "ema", {"generator.fc1.weight": torch.zeros(2, 3)}),
        ("gan", "ema", {"surprise": torch.zeros(2, 3)}),
        ("gan", "model", {}),
        pytest.param("gan", "images_seen", 10**5000, id="images_seen of 5000 digits"),
        ("gan", "images_seen", "many"),
        ("gan", "clock", {}),
        ("gan", "versions", 3),
        ("gan", "versions", ["0.5"]),
        ("gan", "data/num_frames", 4),
        ("rnn", "data/num_frames", None),
        ("gan", "config/model/latent_dim", None),
        ("gan", "config/model/latent_dim", True),
        ("gan", "format", torch.zeros(3)),
        ("gan", "data/fingerprint/name", 3),
        pytest.param("gan", "format", 10**5000, id="format of 5000 digits"),
        ("gan", "format", [[]]),
    ],
)
def test_a_configuration_that_does_not_match_the_file_is_an_error(
    name: str, path: str, value: Any, valid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        opened(changed(valid[name], path, value), tmp_path)
    assert os.listdir(tmp_path) == ["best.pt"]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("config", "plugins", "x"),
        ("config", "runs", ["a"]),
        ("config/trainer", "plugins", "x"),
        ("config", "seed", -1),
        ("config/data", "workers", 10**9),
        ("config/data", "batch_size", 0),
        ("config/data", "batch_size", torch.zeros(1)),
        ("config/data", "flip", "no"),
        ("config/model", "lr", "fast"),
        ("config/callbacks/samples", "num_images", 10**9),
        ("config/data/source", "num_frames", -1),
        ("config/data/source", "speed", {}),
    ],
)
def test_a_configuration_sets_only_what_a_saved_run_may_set(
    path: str, key: str, value: Any, valid: dict[str, Any], tmp_path: Path
) -> None:
    node = valid["gan"]
    for name in path.split("/"):
        node = node[name]
    torch.save(changed(valid["gan"], path, {**node, key: value}), tmp_path / "best.pt")
    with pytest.raises(UserError, match=rf"{path.removeprefix('config').strip('/').replace('/', '.')}\.?{key}\b"):
        load_checkpoint(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("optimizers", [state]) for state in (1, {"state": {}, "param_groups": [1]})),
        ("processes", [{}]),
        ("processes", [PROCESS | {"random": torch.zeros(7, dtype=torch.uint8)}]),
        ("processes", [PROCESS | {"random": torch.get_rng_state().float()}]),
        *(("processes", [PROCESS | {"pending": [{"loss": loss}]}]) for loss in (torch.zeros(3), 1.0)),
        *(("processes", [PROCESS | {"unwritten": [row]}]) for row in ({}, {**ROW, "loss": [1.0]}, {**ROW, 3: 1.0})),
        ("metrics", {"loss": "high"}),
        ("metrics", None),
        ("rollbacks", -1),
        ("clock/expected_images", -7),
        ("clock", {"seconds": 1.0}),
        ("config/health", None),
    ],
)
def test_fields_that_only_a_resumed_run_reads_are_checked_on_resume(
    path: str, value: Any, valid: dict[str, Any], tmp_path: Path
) -> None:
    torch.save(changed(valid["gan"], path, value), tmp_path / "last.pt")
    with pytest.raises(UserError) as mistake:
        load_to_resume(tmp_path / "last.pt")
    assert mistake.value.key == "resume"


def expanded(content: dict[str, Any]) -> dict[str, Any]:
    """A tensor of a billion numbers in four bytes."""
    return changed(content, "ema", {"generator.fc1.weight": torch.zeros(1).expand(10**5, 10**4)})


def shared(content: dict[str, Any]) -> dict[str, Any]:
    """One tensor of a megabyte under 10,000 names."""
    tensor = torch.zeros(2**18)
    return changed(content, "model", {str(number): tensor for number in range(10_000)})


def laughs(content: dict[str, Any]) -> dict[str, Any]:
    """Nested lists of ten references each: 10^10 parts in a few hundred bytes."""
    node: Any = ["ha"] * 10
    for _ in range(9):
        node = [node] * 10
    return changed(content, "config/model/generator/shape/width", node)


def circle(content: dict[str, Any]) -> dict[str, Any]:
    node: list[Any] = []
    node.append(node)
    return changed(content, "config/model/generator/shape/width", node)


def deep(content: dict[str, Any]) -> dict[str, Any]:
    node: Any = 1
    for _ in range(300):
        node = {"a": node}
    return changed(content, "config/model/generator/shape/width", node)


def on_meta(content: dict[str, Any]) -> dict[str, Any]:
    return changed(content, "ema", {"generator.fc1.weight": torch.zeros(10**5, 10**5, device="meta")})


def sparse(content: dict[str, Any]) -> dict[str, Any]:
    with torch.sparse.check_sparse_tensor_invariants(False):
        tensor = torch.sparse_coo_tensor(torch.zeros(2, 1), torch.ones(1), (10**5, 10**5))
    return changed(content, "ema", {"generator.fc1.weight": tensor})


def interpolation(content: dict[str, Any]) -> dict[str, Any]:
    return changed(content, "config/model/generator/shape/width", "${oc.env:HOME}")


class Call:
    """A pickle that calls a function."""

    def __init__(self, what: Any, *arguments: Any) -> None:
        self.what, self.arguments = what, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.what, self.arguments


CALLS = [
    Call(os.mkdir, "evil"),
    Call(bytearray, 10**12),
    Call(torch.FloatTensor, 10**5, 10**5),
    Call(torch.Tensor, 10**5, 10**5),
    Call(torch.device, "cuda"),
    Call(eval, "open('evil', 'w')"),
]


@pytest.mark.parametrize("harm", [expanded, shared, laughs, circle, deep, on_meta, sparse, interpolation])
def test_a_small_file_does_not_use_large_memory(
    harm: Callable[[Any], Any], valid: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError):
        opened(harm(valid["gan"]), tmp_path)


@pytest.mark.parametrize("call", CALLS, ids=[call.what.__name__ for call in CALLS])
def test_no_function_is_called(
    call: Call, valid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="plain types"):
        opened({**valid["gan"], "more": call}, tmp_path)
    assert os.listdir(tmp_path) == ["best.pt"]


def hidden(content: dict[str, Any]) -> dict[str, Any]:
    """A dictionary whose attribute, set by the operation BUILD, replaces the method that lists its values."""
    harmless = OrderedDict()
    harmless.__dict__["values"] = [0] * 10
    return {**content, "more": harmless}


def colliding_keys(content: dict[str, Any]) -> dict[str, Any]:
    """Python's hashes of these integers are equal."""
    return {**content, "more": dict.fromkeys(number * (2**61 - 1) for number in range(1, 3000))}


def colliding_tuples(content: dict[str, Any]) -> dict[str, Any]:
    """Python's hashes of -1 and -2 are equal, and so are those of the tuples."""
    return {**content, "more": dict.fromkeys(itertools.product((-1, -2), repeat=11))}


class Pairs:
    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ([[number * (2**61 - 1), 0] for number in range(1, 3000)],)


def colliding_pairs(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "more": Pairs()}


@pytest.mark.parametrize(
    ("harm", "reason"),
    [(hidden, "BUILD"), (colliding_keys, "other keys"), (colliding_tuples, "other keys"), (colliding_pairs, "nothing")],
)
def test_a_pickle_that_plain_types_do_not_need_is_not_read(
    harm: Callable[[Any], Any], reason: str, valid: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=reason):
        opened(harm(valid["gan"]), tmp_path)


def test_the_number_of_operations_is_limited() -> None:
    with pytest.raises(ValueError, match="operations"):
        check_pickle(pickle.dumps([None] * 10**6, 2))


def repacked(path: Path, change: Callable[[zipfile.ZipInfo, bytes], bytes], compression: int) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = [(part, archive.read(part)) for part in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for part, content in parts:
            archive.writestr(part.filename, change(part, content))


def test_a_zip_bomb_is_not_unpacked(valid: dict[str, Any], tmp_path: Path) -> None:
    zeros = {"zeros": torch.zeros(2**26)}
    torch.save({**valid["gan"], "more": zeros}, tmp_path / "best.pt")
    repacked(tmp_path / "best.pt", lambda part, content: content, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "best.pt").stat().st_size < 2**20
    with pytest.raises(UserError, match="unpacked size"):
        load_checkpoint(tmp_path / "best.pt")


def test_a_large_pickle_is_not_read(valid: dict[str, Any], tmp_path: Path) -> None:
    torch.save({**valid["gan"], "more": "x" * 2**25}, tmp_path / "best.pt")
    with pytest.raises(UserError, match="too large"):
        load_checkpoint(tmp_path / "best.pt")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_an_error(keep: float, valid: dict[str, Any], tmp_path: Path) -> None:
    torch.save(valid["gan"], tmp_path / "best.pt")
    content = (tmp_path / "best.pt").read_bytes()
    (tmp_path / "best.pt").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "best.pt")


def test_torchs_older_format_is_refused(valid: dict[str, Any], tmp_path: Path) -> None:
    torch.save(valid["gan"], tmp_path / "best.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="damaged or incomplete"):
        load_checkpoint(tmp_path / "best.pt")


def test_torch_reads_the_verified_archive(valid: dict[str, Any], tmp_path: Path) -> None:
    """A file that starts with torch's older format and ends with an archive, which Python finds from its end."""
    file = tmp_path / "best.pt"
    torch.save({**valid["gan"], "more": Call(bytearray, 2**31)}, file, _use_new_zipfile_serialization=False)
    before = file.read_bytes()
    torch.save({**valid["gan"], "images_seen": 7}, file)
    file.write_bytes(before + file.read_bytes())
    assert load_checkpoint(file)["images_seen"] == 7


def test_two_parts_of_the_same_name_are_refused(valid: dict[str, Any], tmp_path: Path) -> None:
    """Torch ignores case, and would read the part that was not verified."""
    file = tmp_path / "best.pt"
    torch.save({**valid["gan"], "more": Call(bytearray, 2**31)}, file)
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        evil = archive.read(name)
    torch.save(valid["gan"], file)
    with zipfile.ZipFile(file) as archive:
        parts = [(part.filename, archive.read(part)) for part in archive.infolist()]
    with zipfile.ZipFile(file, "w") as archive:
        for part, content in [(name.replace("data.pkl", "DATA.PKL"), evil), *parts]:
            archive.writestr(part, content)
    with pytest.raises(UserError, match="same name"):
        load_checkpoint(file)


def test_weights_that_do_not_fit_are_an_error_with_their_name(valid: dict[str, Any]) -> None:
    content = valid["gan"]
    wider = changed(content, "config/model/generator/shape/width", 8)["config"]["model"]
    with pytest.raises(UserError, match=r"generator\."):
        check_fits(wider, content["model"], Builder(()))
    check_fits(content["config"]["model"], content["model"], Builder(()))
