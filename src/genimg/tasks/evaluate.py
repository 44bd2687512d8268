"""task=evaluate: a run's figures beside what real pictures reach, as a table, evaluation.json and TensorBoard rows."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from genimg.build import build
from genimg.checkpoints import Checkpoint, load_checkpoint, versions
from genimg.data.cache import user_folder
from genimg.errors import UserError
from genimg.evaluation import sequences
from genimg.evaluation.cost import cost
from genimg.evaluation.fidelity import NEIGHBOURS, Features, fidelity
from genimg.evaluation.figure import Figure, table
from genimg.evaluation.likelihood import Likely, likelihood, refusal
from genimg.evaluation.structure import structure
from genimg.features.choose import extractor as choose_extractor
from genimg.features.extractor import Extractor
from genimg.files import whole
from genimg.metrics.neighbours import nearest
from genimg.pictures.files import save_png
from genimg.pictures.sheets import side_by_side, to_uint8
from genimg.runs import RunFolder
from genimg.sampler import Reconstructs, Sampler
from genimg.sampling import checkpoint_file, from_checkpoint

log = logging.getLogger(__name__)

FORMAT = 1  # of evaluation.json
DATA = ("genimg.data",)  # what a checkpoint's data are built of, besides what the user trusts
TRAINED_ON = 60_000  # training pictures that the classifier learns from and copies are looked for in
BYTES = 2 * 2**30  # of them in memory, at most
LIKELY = 1000  # pictures the likelihood is computed on
CLIPS, FUTURES = 200, 4  # clips that futures are compared with, and how many of each
PRINTED = 160  # columns of the table where there is no terminal
ON_SHEET = 24  # pairs of a sample and its nearest training picture


@dataclass(frozen=True)
class Pictures:
    """Of a data set, uint8: stills (N, C, H, W), or the clips (N, T, C, H, W) of one."""

    train: Tensor
    train_labels: Tensor | None
    test: Tensor
    test_labels: Tensor | None


def run(config: dict[str, Any]) -> int:
    """Measures what configs/evaluate.yaml asks for. Returns the exit code."""
    started = time.monotonic()
    file = checkpoint_file(config["run"], config["checkpoint"], config["outputs"])
    checkpoint = load_checkpoint(file)
    sampler = from_checkpoint(checkpoint, config["device"], config["trust"])
    data = data_of(checkpoint, config)
    log.info("%s (%s images seen)", file, f"{checkpoint['images_seen']:,}")
    pictures = read_pictures(data)
    extractor = extractor_for(config, data, pictures, sampler.device)
    log.info("features  %s", "  ".join([extractor.name, extractor.digest[:12], *map(_fact, extractor.facts.items())]))
    folder = Path(config["out"]).expanduser() if config["out"] else home(file)
    measure = clips_figures if sampler.makes_sequences else stills_figures
    figures = measure(config, checkpoint, sampler, pictures, extractor, folder)
    refused = {}
    if reason := refusal(sampler.model):
        refused["likelihood"] = reason
    else:
        figures += _likelihood(config, sampler, pictures)
    figures += cost(checkpoint, sampler)
    write(folder, figures, refused, described(config, file, checkpoint, data, extractor))
    console = Console()
    console.print(table(figures), width=None if console.is_terminal else PRINTED)
    for name, why in refused.items():
        log.info("no %s: %s", name, why)
    log.info("written   %s in %.0f s", folder / "evaluation.json", time.monotonic() - started)
    return 0


def home(file: Path) -> Path:
    """The run folder of a checkpoint; the folder of one that lies elsewhere."""
    run = RunFolder(file.parent.parent)
    return run.path if file.parent == run.checkpoints else file.parent


def data_of(checkpoint: Checkpoint, config: dict[str, Any]) -> Any:
    """The data that the checkpoint was trained on, loaded; UserError where they are others now."""
    node = checkpoint["config"]["data"]
    if config["root"] is not None:
        node = with_root(node, config["root"])
    data = build(node, trust=(*DATA, *config["trust"]))
    data.setup("test")
    known = checkpoint["data"]["fingerprint"]
    if data.fingerprint != known:
        raise UserError(
            "root",
            f"{data.name}: {data.fingerprint['count']:,} pictures of another digest or shape",
            f"the data of the run: {known['count']:,} of shape {tuple(known['shape'])}",
        )
    return data


def with_root(node: Any, root: str) -> Any:
    """A data node with every `root` in it replaced."""
    if not isinstance(node, dict):
        return node
    return {name: root if name == "root" else with_root(value, root) for name, value in node.items()}


def read_pictures(data: Any) -> Pictures:
    """The test split, and the training split up to a bound of memory."""
    bytes_each = math.prod(data.image_shape) * (data.num_frames or 1)
    most = max(1, min(TRAINED_ON, BYTES // bytes_each))
    return Pictures(*data.spread("train", most), *data.spread("test", most))


def extractor_for(config: dict[str, Any], data: Any, pictures: Pictures, device: torch.device) -> Extractor:
    """The one asked for; its classifier is kept under the data's digest."""
    kept = None
    if (folder := cache_folder(config)) is not None:
        kept = folder / f"classifier-{_digest(data.fingerprint, len(pictures.train))}.pt"
        if config["features"] in ("auto", "classifier") and data.classes and not kept.is_file():
            log.info("training a classifier on the data's labels, once: its features are what pictures are compared by")
    return choose_extractor(
        config["features"],
        weights=config["weights"],
        train=(one_frame(pictures.train), pictures.train_labels),
        test=(one_frame(pictures.test), pictures.test_labels),
        num_classes=len(data.classes),
        kept=kept,
        device=device,
        trust=config["trust"],
    )


def one_frame(items: Tensor) -> Tensor:
    """Stills as they are; of clip i, frame i modulo T."""
    if items.ndim == 4:
        return items
    index = torch.arange(len(items))
    return items[index, index % items.shape[1]]


def cache_folder(config: dict[str, Any]) -> Path | None:
    """Of what can be made again."""
    if isinstance(config["cache"], bool):
        return user_folder() / "evaluation" if config["cache"] else None
    return Path(config["cache"]).expanduser()


def stills_figures(
    config: dict[str, Any],
    checkpoint: Checkpoint,
    sampler: Sampler,
    pictures: Pictures,
    extractor: Extractor,
    folder: Path,
) -> list[Figure]:
    """Fidelity, diversity, classes and copies; structure where the model reconstructs."""
    count = min(config["num_images"], len(pictures.test), len(pictures.train) // 2)
    if count <= NEIGHBOURS:
        expected = f"more than {NEIGHBOURS}: the figures look at {NEIGHBOURS} neighbours"
        raise UserError("num_images", count, expected, hint=f"the test split has {len(pictures.test)} pictures")
    test, floor, train = reference(config, checkpoint, pictures, extractor, count, sampler.device)
    kept: list[Tensor] = []

    def drawn() -> Iterator[Tensor]:
        for piece in sampler.stream(count, seed=config["seed"]):
            rounded = to_uint8(piece)
            if sum(map(len, kept)) < ON_SHEET:
                kept.append(rounded)
            yield rounded

    fake = extractor.stream(drawn(), sampler.device)
    figures = fidelity(Features(test, floor, train, fake), extractor, _asked(sampler, count))
    shown = torch.cat(kept)[:ON_SHEET]
    others = _others(len(pictures.train), count)
    _, index = nearest(fake[: len(shown)], train)
    save_png(side_by_side(shown, pictures.train[others[index]]), folder / "nearest.png")
    model = sampler.model
    if isinstance(model, Reconstructs):
        images = pictures.test[_strides(len(pictures.test), count)]
        labels = None if pictures.test_labels is None else pictures.test_labels[_strides(len(pictures.test), count)]

        def reconstruct(part: Tensor, where: slice) -> Tensor:
            classes = labels[where].tolist() if labels is not None and sampler.classes else None
            return to_uint8(sampler.reconstruct(part.float() / 127.5 - 1, classes))

        figures += structure(images, reconstruct, extractor, sampler.device)
    return figures


def reference(
    config: dict[str, Any],
    checkpoint: Checkpoint,
    pictures: Pictures,
    extractor: Extractor,
    count: int,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Features of `count` test pictures, of as many training pictures, and of the other training pictures.

    Kept in the cache under the data's digest, the extractor's and the counts.
    """
    kept = None
    if (folder := cache_folder(config)) is not None:
        key = _digest(checkpoint["data"]["fingerprint"], extractor.digest, count, len(pictures.train))
        kept = folder / f"features-{key}.pt"
        try:
            found = torch.load(kept, map_location="cpu", weights_only=True)
            return found["test"], found["floor"], found["train"]
        except Exception:  # missing, or damaged in one of torch's half a dozen ways: made again
            pass
    test = extractor(pictures.test[_strides(len(pictures.test), count)], device)
    chosen, others = _strides(len(pictures.train), count), _others(len(pictures.train), count)
    floor, train = extractor(pictures.train[chosen], device), extractor(pictures.train[others], device)
    if kept is not None:
        try:
            with whole(kept) as file:
                torch.save({"test": test, "floor": floor, "train": train}, file)
        except OSError as error:
            log.warning("could not keep the features in %s: %s", kept, error)
    return test, floor, train


def clips_figures(
    config: dict[str, Any],
    checkpoint: Checkpoint,
    sampler: Sampler,
    pictures: Pictures,
    extractor: Extractor,
    folder: Path,
) -> list[Figure]:
    """Futures against what came, and the Frechet distance of clips, from the first frames of test clips."""
    count = min(config["num_images"], CLIPS, len(pictures.test), len(pictures.train))
    if count < 2:
        raise UserError("num_images", count, "2 or more", hint=f"the test split has {len(pictures.test)} clips")
    chosen = _strides(len(pictures.test), count)
    clips = pictures.test[chosen]
    labels = pictures.test_labels[chosen].tolist() if pictures.test_labels is not None and sampler.classes else None
    fakes: list[Tensor] = []

    def drawn() -> Iterator[Tensor]:
        options: dict[str, Any] = {"seed": config["seed"], "futures": FUTURES, "num_frames": clips.shape[1]}
        start = clips[:, 0].float() / 127.5 - 1
        for piece in sampler.stream(count, start=start, classes=labels, **options):
            futures = to_uint8(piece).unflatten(0, (-1, FUTURES))
            fakes.append(futures[:, 0])
            yield futures

    figures = sequences.futures(clips, drawn(), FUTURES)
    floor = pictures.train[_strides(len(pictures.train), count)]
    vectors = [sequences.clip_vectors(part, extractor, sampler.device) for part in (clips, floor, torch.cat(fakes))]
    return figures + sequences.clip_fidelity(*vectors)


def _likelihood(config: dict[str, Any], sampler: Sampler, pictures: Pictures) -> list[Figure]:
    chosen = _strides(len(pictures.test), min(LIKELY, len(pictures.test)))
    batches = [
        {
            "images": pictures.test[part].to(sampler.device).float() / 127.5 - 1,
            **({} if pictures.test_labels is None else {"labels": pictures.test_labels[part].to(sampler.device)}),
        }
        for part in chosen.split(100)
    ]
    generator = torch.Generator(sampler.device).manual_seed(config["seed"])
    model = cast(Likely, sampler.model)
    return likelihood(model, batches, bool(sampler.classes), config["importance_samples"], generator)


def described(
    config: dict[str, Any], file: Path, checkpoint: Checkpoint, data: Any, extractor: Extractor
) -> dict[str, Any]:
    """What the figures were computed from, as plain types."""
    return {
        "checkpoint": {"file": str(file), "images_seen": checkpoint["images_seen"], "versions": checkpoint["versions"]},
        "data": {**data.fingerprint, "split": "test"},
        "preprocessing": {"pictures": "rounded to 8 bits", "features": extractor.preprocessing},
        "extractor": {"name": extractor.name, "digest": extractor.digest, **extractor.facts},
        "settings": {name: config[name] for name in ("seed", "num_images", "features", "importance_samples")},
        "versions": versions(),
    }


def write(folder: Path, figures: list[Figure], refused: dict[str, str], about: dict[str, Any]) -> None:
    """evaluation.json, and a row of each figure in TensorBoard where the folder is a run's."""
    content = {"format": FORMAT, **about, "figures": [asdict(figure) for figure in figures], "refused": refused}
    try:
        with whole(folder / "evaluation.json") as out:
            out.write(json.dumps(content, indent=1).encode())
    except OSError as error:
        raise UserError("out", folder, f"a folder that can be written ({error.strerror})", "out=FOLDER") from error
    board = RunFolder(folder).tensorboard
    if board.is_dir():
        from torch.utils.tensorboard.writer import SummaryWriter

        with SummaryWriter(str(board)) as writer:
            for figure in figures:
                tag = f"evaluation/{figure.group}/{figure.name}".replace(" ", "_")
                writer.add_scalar(tag, figure.value, about["checkpoint"]["images_seen"])


def _asked(sampler: Sampler, count: int) -> Tensor | None:
    labels = sampler.labels(None, count)
    return None if labels is None else labels.cpu()


def _strides(total: int, count: int) -> Tensor:
    """`count` of `total` indices at equal strides."""
    return torch.arange(count) * total // count


def _others(total: int, count: int) -> Tensor:
    """The indices that `_strides` leaves."""
    left = torch.ones(total, dtype=torch.bool)
    left[_strides(total, count)] = False
    return left.nonzero().squeeze(1)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _fact(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name} {value:.2%}" if isinstance(value, float) else f"{name} {value}"
