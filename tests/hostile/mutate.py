"""Seeded mutations of bytes, of trees of plain values, of text and of folders."""

from __future__ import annotations

import copy
import io
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

#: Values that readers often mistake: wrong types, extreme numbers, paths, terminal controls, code.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**12, 10**400, -(10**18), 0.5, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", " ", "a", "1", "true", "nan", "null", "auto", "..", "../..", "/",
    "/etc/passwd", "~", "$HOME", "${oc.env:HOME}", "${hydra:runtime.cwd}", "http://127.0.0.1:9", "127.0.0.1:9",
    "\x1b[2J\x1b]0;x\x07", "x\nerror: forged", "\x00", "\udcff", "\u202eabc", "a" * 5000, "é" * 300, "%s%n{0}{x}",
    "torch.load", "os.system", "genimg.models.gan.GAN", "genimg.models.vae.VAE", "genimg.common.build.Builder",
    [], {}, [[]], [None], [1, "a"], [0] * 3000, {"": 1}, {"_target_": "os.system", "command": "true"},
    {"_target_": "builtins.eval", "_args_": ["1"]}, {"_target_": "genimg.models.gan.GAN"}, {"a": {"b": {"c": []}}},
)  # fmt: skip
KEYS = (
    "task", "out", "runs", "run", "launch", "trust", "_args_", "_target_", "_partial_", "_recursive_", "_convert_",
    "num_nodes", "devices", "cache", "root", "download", "", "x-y", "a.b", "hydra", "format", "\x1b[1m", "__class__",
    1, None, "k" * 5000,
)  # fmt: skip
#: Attacks on a configuration: keys that only together ask for a connection, a foreign file or much memory.
ATTACKS: tuple[dict[str, Any], ...] = (
    {"trainer.num_nodes": 2, "trainer.devices": 1, "launch.rdzv_endpoint": "127.0.0.1:9", "launch.node_rank": 1},
    {"task": "compare", "runs": ["../valid/gan", "../valid/vae"], "out": "outside/secret.txt"},
    {"task": "export", "run": "target", "out": "outside/secret.txt"},
    {"data.source.cache": "outside", "data.cache": "outside"},
    {"data.source._args_": ["outside"]},
    {"data.source": {"_target_": "torchvision.datasets.MNIST", "_args_": ["outside"], "download": True}},
    {"logger.csv": {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "outside"}},
    {"callbacks.health": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "outside"}},
    {"outputs": "outside", "run_dir": "outside"},
    {"model.hidden": 0, "model.latent_dim": 6 * 10**7},
    {"model.generator.hidden": 0, "model.generator.latent_dim": 6 * 10**7, "model.latent_dim": 6 * 10**7},
    {"model.width": 10**9}, {"model.width": 2**63}, {"data.image_size": 256, "model.width": 10**5},
    {"model": {"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 4}},
    {"model.num_frames": 4}, {"data.num_frames": None}, {"data.num_frames": 1}, {"model.latent_dim": True},
    {"model._partial_": True}, {"model._target_": None}, {"trainer.threads": 10**9}, {"trainer.precision": "float16"},
    {"data.batch_size": 10**9}, {"callbacks.samples.num_images": 10**9}, {"callbacks.validation.num_images": 10**12},
    {"budget.minutes": float("nan"), "budget.images": None}, {"model.lr": float("inf")}, {"data.num_workers": 10**6},
)  # fmt: skip


def deep(levels: int) -> Any:
    """A list nested this deep."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def value(draw: random.Random) -> Any:
    return deep(draw.choice((50, 900))) if draw.random() < 0.03 else draw.choice(VALUES)


def attack(draw: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a configuration with the keys of one attack."""
    config = copy.deepcopy(config)
    for key, part in draw.choice(ATTACKS).items():
        *parents, last = key.split(".")
        node = config
        for name in parents:
            node[name] = node = node[name] if isinstance(node.get(name), dict) else {}
        node[last] = copy.deepcopy(part)
    return config


def tree(draw: random.Random, node: Any) -> Any:
    """A copy of a tree of dictionaries and lists, changed at one to three places."""
    for _ in range(draw.randint(1, 3)):
        node = _changed(draw, node)
    return node


def _changed(draw: random.Random, node: Any) -> Any:
    """A copy with one change at a random depth: a value replaced, removed, added, moved or repeated."""
    if isinstance(node, dict) and node and draw.random() < 0.8:
        name = draw.choice(list(node))
        if draw.random() < 0.65:
            return {**node, name: _changed(draw, node[name])}
        kind = draw.randrange(3)
        if kind == 0:
            return {key: part for key, part in node.items() if key != name}
        if kind == 1:
            return {**node, draw.choice(KEYS): value(draw)}
        return {**node, name: node[draw.choice(list(node))]}
    if isinstance(node, list) and node and draw.random() < 0.7:
        place = draw.randrange(len(node))
        kind = draw.randrange(3)
        if kind == 0:
            return [*node[:place], _changed(draw, node[place]), *node[place + 1 :]]
        return [*node[:place], *node[place + 1 :]] if kind == 1 else [*node, *node]
    return value(draw)


def data(draw: random.Random, content: bytes) -> bytes:
    """Bytes changed at a few places: flipped, cut, inserted, repeated, or another number in their place."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(max(1, len(changed)))
        kind = draw.randrange(6)
        if kind == 0 and changed:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = draw.randbytes(draw.choice((1, 4, 100)))
        elif kind == 3:
            changed[place : place + 4] = draw.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0@\0")
            )
        elif kind == 4:
            changed[place:place] = changed[place : place + draw.choice((8, 200))] * draw.choice((1, 3))
        else:
            del changed[place : place + draw.choice((1, 4, 50))]
    return bytes(changed)


def picture(draw: random.Random) -> bytes:
    """A picture that is valid but odd in mode and size, or a header that claims more than follows."""
    mode = draw.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"))
    size = draw.choice(((1, 1), (1, 4000), (4000, 1), (7, 7), (300, 200), (4000, 4000)))
    kinds = {"CMYK": ("JPEG", "TIFF"), "I;16": ("PNG", "TIFF"), "1": ("PNG", "BMP", "TIFF"), "P": ("PNG", "GIF", "BMP")}
    written = io.BytesIO()
    Image.new(mode, size).save(written, draw.choice(kinds.get(mode, ("PNG", "TIFF"))))
    content = written.getvalue()
    if content.startswith(b"\x89PNG") and draw.random() < 0.5:
        sides = draw.choice(((2**31 - 1, 1), (2**16, 2**16), (8191, 8192), (0, 5), (2**32 - 1, 2**32 - 1)))
        header = b"IHDR" + struct.pack(">II", *sides) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    if content.startswith(b"GIF8") and draw.random() < 0.5:  # a canvas that is larger than its frame
        return content[:6] + struct.pack("<HH", 65535, 65535) + content[10:]
    return content


def text(draw: random.Random, content: str) -> bytes:
    """Lines changed: damaged, removed, repeated, swapped, or replaced by something that parsers fear."""
    lines = content.encode().splitlines()
    feared = (
        b"[" * 100_000, b'{"a":' * 3000, b"9" * 4300, b'"\xed\xa0\x80"', b"\xff\xfe", b"", b"null", b"{}",
        b"a: &a [*a]",
        b"- " * 2000, b"!!python/object/apply:os.system ['true']", b'{"images_seen": NaN}', b'{"images_seen": 1e999}',
        b"\x1b[2J", b"x: ${oc.env:HOME}", b"\t", b'{"images_seen": "\\ud800"}',
    )  # fmt: skip
    for _ in range(draw.choice((1, 1, 2))):
        place = draw.randrange(max(1, len(lines)))
        kind = draw.randrange(5)
        if kind == 0 and lines:
            lines[place] = data(draw, lines[place])
        elif kind == 1 and lines:
            del lines[place]
        elif kind == 2:
            lines.insert(place, draw.choice(feared))
        elif kind == 3 and lines:
            lines.insert(place, lines[draw.randrange(len(lines))])
        elif lines:
            lines[place] = draw.choice(feared)
    return b"\n".join(lines) + (b"\n" if draw.random() < 0.8 else b"")


def folder(draw: random.Random, place: Path, outside: Path) -> None:
    """Adds a link, a pipe, an oddly named or unreadable file to a folder, or removes or moves a file."""
    files = sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    homes = sorted({place, *(path for path in place.rglob("*") if path.is_dir())})
    home, one = draw.choice(homes), draw.choice(files)
    kind = draw.randrange(9)
    if kind == 0:
        (home / draw.choice(("again", "x.png", "model.yaml"))).symlink_to(draw.choice((".", "..", str(outside))))
    elif kind == 1:
        pipe = draw.choice((home / "pipe", home / "pipe.png", one))
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    elif kind == 2:
        (
            home / os.fsdecode(draw.choice((b"caf\xe9.png", b"\xff", b"a\nb.png", b"\x1b[1m.png", b"-rf", b"...")))
        ).write_bytes(one.read_bytes())
    elif kind == 3:
        one.unlink()
    elif kind == 4:
        one.unlink()
        one.symlink_to(outside / "secret.txt")
    elif kind == 5:
        one.unlink()
        one.mkdir()
    elif kind == 6:
        one.write_bytes(b"")
    elif kind == 7:
        code = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nraise SystemExit(7)\n"
        (home / f"{draw.choice(('torch', 'numpy', 'json', 'random', 'genimg', 'yaml', 'omegaconf'))}.py").write_text(
            code
        )
    else:
        for name in (f".{one.name}.1.tmp", f".{one.name}.{os.getpid()}.tmp", f"{one.stem}.tmp"):
            if not (one.parent / name).exists():
                (one.parent / name).symlink_to(outside / "secret.txt")
