"""Cases: each copies a valid artefact, mutates it, and runs a command on it."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import os
import random
import shutil
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

import genimg
from genimg.common.errors import EXIT_CODE, UserError
from tests.hostile import mutate
from tests.hostile.sandbox import Outcome, check, run, run_command
from tests.hostile.valid import SMALL

SAMPLE = ["sample", "run=target", "num_images=2", "out=made/drawn"]
EVALUATE = ["evaluate", "run=target", "features=random", "num_images=16", "cache=false"]
RESUME = ["resume=target", "budget.images=96", "trainer.threads=1"]
LATENTS = ["sample", "run=target/run", "latents=target/latents.npz", "out=made/drawn"]
REPORT = ["report", "run=target"]
EXPORT = ["export", "run=target", "format=safetensors", "out=made/drawn"]
SWEEP = ["-m", "sweep.resume=target", "trainer.threads=1"]
SEARCH = [*SWEEP, "hydra.sweeper.n_trials=2"]
RATE = ["rate", "study=target", "results=a.json"]
TRAIN = [*SMALL, "budget.images=32", "outputs=made"]
INIT = ["init_from=target/checkpoints/best.pt", *TRAIN]
OF_IMAGES = ["data=image_folder", "data.root=target", *TRAIN]
OF_GARMENTS = ["data=fashion_mnist", "data.root=target", *TRAIN]
OF_CLIPS = ["model=rnn", "data=frame_folder", "data.root=target", "data.num_frames=3", *TRAIN]

#: What the plan of a sweep may not ask for, and names that are no folders of jobs.
WORDS = (
    "launch.rdzv_endpoint=127.0.0.1:9", "trainer.num_nodes=2", "hydra.launcher.setup=[true]", "task=compare",
    "+callbacks.mine._target_=os.system", "data.cache=outside", "resume=target", "model.lr=", "model.lr=[1", "=", "",
    "hydra.sweep.dir=outside", "hydra.run.dir=outside", "outputs=outside", "data.root=outside",
    "trainer.threads=10000000", "model=" + "[" * 900, "seed=" + "9" * 4300, "-m", "--config-dir=outside", "~model",
    "sweep.resume=outside", "init_from=last",
)  # fmt: skip
NAMES = ("../outside", "/tmp", "x" * 300, "x-y", "", ".", "0-\x1b[1m", "a/b", "0", "\x00")

#: Keys of the tasks that read a run.
OPTIONS = (
    "run", "num_images", "seed", "seeds", "classes", "truncation", "truncation_psi", "temperature", "device",
    "directions", "sliders", "mix_seeds", "mix_layer", "select", "interpolate",
)  # fmt: skip

Draw = random.Random


def run_config(draw: Draw, valid: Path, case: Path) -> list[str]:
    """RUN/config.yaml with other keys and values."""
    target = _copy(valid / draw.choice(("gan", "vae", "rnn")), case)
    file = target / draw.choice(("config.yaml", "config.yaml", "config.yaml", "defaults.yaml", "overrides.txt"))
    if file.suffix == ".yaml" and draw.random() < 0.8:
        mutation = draw.choice((mutate.tree, mutate.tree, mutate.attack))
        content = mutation(draw, yaml.safe_load(file.read_text()))
        file.write_text(_yaml(content), errors="surrogatepass")
    else:
        file.write_bytes(mutate.text(draw, file.read_text()))
    return draw.choice((RESUME, RESUME, RESUME, REPORT, SAMPLE))


def checkpoint(draw: Draw, valid: Path, case: Path) -> list[str]:
    """Checkpoints with other fields, tensors, bytes and entries of the archive."""
    target = _copy(valid / draw.choice(("gan", "vae", "rnn")), case)
    file = target / "checkpoints" / "best.pt"
    content = torch.load(file, weights_only=True)
    kind = draw.randrange(6)
    if kind == 0:
        file.write_bytes(mutate.data(draw, file.read_bytes()))
    elif kind == 1:
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = draw.choice(sorted(parts))
        parts[name] = mutate.data(draw, parts[name])
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
    elif kind in (2, 3):
        mutation = mutate.tree if kind == 2 else mutate.attack
        _save({**content, "config": mutation(draw, content["config"])}, file)
    elif kind == 4:  # an object with a state of its own
        hiding = OrderedDict(content)
        hiding.__dict__ |= draw.choice(({"x": [0] * 1000}, {"keys": 1}, {"x": torch.zeros(3)}))
        _save(hiding, file)
    else:
        _save(_tensors(draw, mutate.tree(draw, content)), file)
    for other in ("last.pt", "previous.pt"):
        shutil.copy(file, target / "checkpoints" / other)
    return draw.choice((SAMPLE, INIT, RESUME, EVALUATE, EXPORT))


def run_files(draw: Draw, valid: Path, case: Path) -> list[str]:
    """The JSON and text files of a run."""
    target = _copy(valid / draw.choice(("gan", "vae", "rnn")), case)
    names = ("metrics.jsonl", "metrics.jsonl", "best.json", "train.log", "overrides.txt", "samples/final/*.json")
    files = sorted(target.glob(draw.choice(names))) or [target / "metrics.jsonl"]
    _mutate_text(draw, files[0])
    other = f"runs=[{case / 'target'},{valid / 'vae'}]"
    return draw.choice((REPORT, REPORT, RESUME, ["compare", other, "out=made/drawn.html"]))


def sweep(draw: Draw, valid: Path, case: Path) -> list[str]:
    """A sweep that is resumed."""
    target = _copy(valid / "sweep", case)
    if draw.random() < 0.3:
        file = target / "sweep.json"
        content = json.loads(file.read_text())
        words = draw.choice((content["words"], draw.choice(content["jobs"])["words"]))
        words.append(draw.choice(WORDS))
        if draw.random() < 0.5:
            draw.choice(content["jobs"])["name"] = draw.choice(NAMES)
        file.write_text(json.dumps(content))
        return SWEEP
    files = sorted(target.rglob("*.json")) + sorted(target.glob("*/overrides.txt"))
    _mutate_text(draw, draw.choice([target / "sweep.json", target / "sweep.json", *files]))
    return SWEEP


def search(draw: Draw, valid: Path, case: Path) -> list[str]:
    """A search that is resumed, with another journal."""
    target = _copy(valid / "search", case)
    file = target / "optuna.journal"
    lines = file.read_text().splitlines()
    kind, words = draw.randrange(4), [*SWEEP, f"hydra.sweeper.n_trials={draw.choice((1, 1, 2))}"]
    if kind == 0:
        file.write_bytes(mutate.text(draw, file.read_text()))
        return words
    if kind == 1:
        draw.shuffle(lines)
    elif kind == 2:
        lines += draw.choices(lines, k=draw.choice((1, 9, 300)))
    else:
        place = draw.randrange(len(lines))
        lines[place] = json.dumps(mutate.tree(draw, json.loads(lines[place])))
    file.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    return words


def garments(draw: Draw, valid: Path, case: Path) -> list[str]:
    """IDX files with other headers, axes, bytes and compression."""
    target = _copy(valid / "garments", case)
    file = draw.choice(sorted(target.iterdir()))
    content = bytearray(gzip.decompress(file.read_bytes()))
    kind = draw.randrange(4)
    if kind == 0:
        content[draw.randrange(4)] = draw.randrange(256)  # the magic number
    elif kind == 1:
        axis = 4 + 4 * draw.randrange(content[3])
        content[axis : axis + 4] = draw.choice((0, 1, 19, 21, 2**16, 2**31, 2**32 - 1)).to_bytes(4, "big")
    elif kind == 2:
        content = bytearray(mutate.data(draw, bytes(content)))
    packed = gzip.compress(bytes(content))
    file.write_bytes(mutate.data(draw, packed) if kind == 3 else draw.choice((packed, bytes(content))))
    return _trained(draw, OF_GARMENTS)


def study(draw: Draw, valid: Path, case: Path) -> list[str]:
    """A study and the files of its raters."""
    target = _copy(valid / "study", case)
    shutil.copy(valid / "a.json", case)
    _mutate_text(draw, draw.choice((target / "key.json", case / "a.json")))
    return RATE


def exported(draw: Draw, valid: Path, case: Path) -> list[str]:
    """An export of weights, which Python loads, or latents, which the command draws."""
    if draw.random() < 0.2:
        target = _copy(valid / "projected", case)
        file = target / "latents.npz"
        file.write_bytes(mutate.data(draw, file.read_bytes()))
        return LATENTS
    target = _copy(valid / "exported", case)
    (file,) = target.glob("*.safetensors")
    if draw.random() < 0.5:
        file.write_bytes(mutate.data(draw, file.read_bytes()))
    else:
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        about = json.loads(header["__metadata__"]["genimg"])
        if draw.random() < 0.3:
            about["config"] = mutate.attack(draw, about["config"])
        else:
            about = mutate.tree(draw, about)
        header["__metadata__"]["genimg"] = json.dumps(about)
        if draw.random() < 0.2:
            header = mutate.tree(draw, header)
        new = json.dumps(header).encode()
        file.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])
    return ["load", str(file)]


def images(draw: Draw, valid: Path, case: Path) -> list[str]:
    """Image and clip files, and folders of them."""
    clips = draw.random() < 0.4
    target = _copy(valid / ("clips" if clips else "images"), case)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    for file in draw.sample(files, draw.choice((1, 4, len(files)))):
        if draw.random() < 0.7:
            file.write_bytes(mutate.data(draw, file.read_bytes()))
        elif draw.random() < 0.8:
            file.write_bytes(mutate.picture(draw))
        else:  # a script that names another file
            file.with_suffix(".mp4").write_text(f"ffconcat version 1.0\nfile {case / 'outside' / 'secret.txt'}\n")
    return _trained(draw, OF_CLIPS if clips else OF_IMAGES)


def places(draw: Draw, valid: Path, case: Path) -> list[str]:
    """Folders with links, pipes, odd names and files of code."""
    name = draw.choice(("gan", "vae", "rnn", "images", "clips", "sweep", "study"))
    target = _copy(valid / name, case)
    mutate.folder(draw, target, case / "outside")
    if name == "study":
        shutil.copy(valid / "a.json", case)
    if name in ("images", "clips"):
        return _trained(draw, OF_IMAGES if name == "images" else OF_CLIPS)
    return {"sweep": SWEEP, "study": RATE}.get(name) or draw.choice((SAMPLE, RESUME, REPORT, EXPORT))


def settings(draw: Draw, valid: Path, case: Path) -> list[str]:
    """Values on the command line."""
    _copy(valid / "gan", case)
    task = draw.choice(("train", "train", "sample", "evaluate", "export", "rate", "compare", "report"))
    config = yaml.safe_load((valid / "gan" / "config.yaml").read_text())
    names = list(_leaves(config)) if task == "train" else OPTIONS
    words = [f"{draw.choice(names)}={_word(draw)}" for _ in range(draw.randint(1, 2))]
    run = "run=target"
    own = {
        "train": [*TRAIN, "dry_run=true"], "sample": [run, "num_images=2"], "evaluate": [run, "num_images=16"],
        "export": [run], "rate": ["runs=target"], "compare": [f"runs=[target,{valid / 'vae'}]"],
        "report": [run],
    }[task]  # fmt: skip
    return [*([] if task == "train" else [task]), *own, *([] if task == "train" else ["outputs=made"]), *words]


#: Commands that a case runs on a mutated artefact, which work on the artefact itself.
HONEST = (
    *((name, words) for name in ("gan", "rnn") for words in (RESUME, SAMPLE, EVALUATE)),
    ("gan", REPORT), ("gan", EXPORT), ("gan", INIT), ("projected", LATENTS), ("sweep", SWEEP), ("search", SEARCH),
    ("study", RATE), ("images", OF_IMAGES), ("clips", OF_CLIPS), ("garments", OF_GARMENTS),
)  # fmt: skip

FAMILIES: dict[str, Callable[[Draw, Path, Path], list[str]]] = {
    one.__name__: one
    for one in (run_config, checkpoint, run_files, sweep, search, study, exported, images, garments, places, settings)
}


class Result(NamedTuple):
    """A case, and the laws that it broke. Its folder is kept if there are any."""

    family: str
    seed: int
    words: list[str]
    outcome: Outcome
    broken: list[str]

    def __str__(self) -> str:
        command = repr(" ".join(self.words))[-300:]
        return f"{self.family} {self.seed}: {'; '.join(self.broken)}\n  genimg {command}\n{self.outcome.err[-600:]}"


def run_cases(cases: Sequence[tuple[str, int]], valid: Path, folder: Path, processes: int) -> Iterator[Result]:
    """Runs cases, each a family and a seed, in as many forks of this process at a time; first the honest ones."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(partial(run_honest, valid=valid, folder=folder), range(len(HONEST)))
        yield from pool.map(partial(run_case, valid=valid, folder=folder), cases)


def run_honest(number: int, valid: Path, folder: Path) -> Result:
    """Runs one of `HONEST` in a new folder below `folder`. Its law is the exit code 0."""
    name, words = HONEST[number]
    case = folder / f"honest-{number}"
    _copy(valid / name, case)
    shutil.copy(valid / "a.json", case)
    outcome = run_command(words, case, [case])
    broken = check(outcome)
    if outcome.code != 0 and not broken:
        broken.append(f"exit code {outcome.code} without a mutation")
    return Result(f"honest {name}", number, words, outcome, broken)


def run_case(one: tuple[str, int], valid: Path, folder: Path) -> Result:
    """Runs one case in a new folder below `folder`, of which only parts are writable for it."""
    family, seed = one
    case = folder / f"{family}-{seed}"
    draw = random.Random(f"{family} {seed}")
    outside = case / "outside"
    outside.mkdir(parents=True)
    (outside / "secret.txt").write_text("secret")
    words = FAMILIES[family](draw, valid, case)
    before = _state(outside), _state(valid)
    writable = [case / "target", case / "made", case / "outputs"]
    load = partial(_load, words[-1])
    outcome = run(load, case, writable) if words[0] == "load" else run_command(words, case, writable)
    broken = check(outcome)
    if (_state(outside), _state(valid)) != before:
        broken.append("files outside have changed")
    if any(case.rglob("ran")):
        broken.append("code of the folder ran")
    if not broken:
        shutil.rmtree(case, ignore_errors=True)
    return Result(family, seed, words, outcome, broken)


def _load(file: str) -> int:
    """Samples from a file as a script does. Returns the exit code that a command would have."""
    try:
        genimg.load(file, device="cpu").sample(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODE
    return 0


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """The size and the time of every file of a folder."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return {str(path): ((status := path.lstat()).st_size, status.st_mtime_ns) for path in files}


def _copy(source: Path, case: Path) -> Path:
    return Path(shutil.copytree(source, case / "target", symlinks=True))


def _trained(draw: Draw, words: list[str]) -> list[str]:
    """Whole runs are a third of the cases: a dry run reads the same data and trains, in a third of the time."""
    return words if draw.random() < 1 / 3 else [*words, "dry_run=true"]


def _yaml(content: Any) -> str:
    try:
        return yaml.safe_dump(content, sort_keys=False)
    except (yaml.YAMLError, RecursionError):
        return json.dumps(content, default=str)


def _mutate_text(draw: Draw, file: Path) -> None:
    content = file.read_text()
    if draw.random() < 0.6:
        lines = content.splitlines() if file.suffix == ".jsonl" else [content]
        place = draw.randrange(len(lines)) if lines else 0
        try:
            lines[place] = json.dumps(mutate.tree(draw, json.loads(lines[place])))
            file.write_text("\n".join(lines) + "\n", errors="surrogatepass")
            return
        except (ValueError, IndexError):
            pass
    file.write_bytes(mutate.text(draw, content))


def _save(content: Any, file: Path) -> None:
    """Saves a checkpoint, which may be nested deeper than Python's limit allows."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        torch.save(content, file)
    finally:
        sys.setrecursionlimit(limit)


def _tensors(draw: Draw, node: Any) -> Any:
    """A copy in which a few tensors have another shape, type or content."""
    if isinstance(node, dict):
        return {name: _tensors(draw, part) for name, part in node.items()}
    if not isinstance(node, torch.Tensor):
        return torch.tensor(1) if draw.random() < 0.01 else node
    if draw.random() < 0.9:
        return node
    return draw.choice((
        torch.zeros(0), torch.zeros(1).expand(10**9), node.double(), node.half() if node.is_floating_point() else node,
        torch.full_like(node, float("nan")) if node.is_floating_point() else node, node.flatten(), torch.tensor(0),
        node.long(),
    ))  # fmt: skip


def _leaves(node: Any, prefix: str = "") -> Iterator[str]:
    for name, part in node.items():
        yield from _leaves(part, f"{prefix}{name}.") if isinstance(part, dict) and part else [f"{prefix}{name}"]


def _word(draw: Draw) -> str:
    """A value as a user might type it. A word of a command has no NUL."""
    value = mutate.value(draw)
    text = value if isinstance(value, str) else json.dumps(value)
    return os.fsdecode(os.fsencode(text.replace("\x00", ""))) if "\ud800" not in text else text
