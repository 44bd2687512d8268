"""Messages between processes: plain values and tensors, unchanged and without pickles."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.distributed.messages import decode, encode
from tests.together import run_together

VALUES = [
    None, True, 3, -0.1, math.inf, "text \u00e9", [1, [2, "a"]], {"a": {"b": [None]}}, [], {},
]  # fmt: skip

PROCESS = """
import os, pickle, sys
import torch
from genimg.common.ranks import rank
from genimg.distributed.data_parallel import all_gather, join, leave
from genimg.distributed import messages
def refuse(*given, **named):
    raise AssertionError("a pickle was read")
join(torch.device("cpu"))
pickle.loads = pickle.load = pickle.Unpickler = torch.load = refuse
values = all_gather({"rank": rank(), "state": torch.full((3, rank() + 1), float(rank()))})
first = messages.broadcast(f"of {rank()}" * (1 + 1000 * rank()), 1)
with open(sys.argv[1] + f".{rank()}", "w") as file:
    shapes = [[value["rank"], list(value["state"].shape), float(value["state"].mean())] for value in values]
    import json
    json.dump([shapes, first], file)
leave()
os._exit(0)
"""


@pytest.mark.parametrize("value", VALUES)
def test_a_plain_value_is_unchanged(value: Any) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_a_tensor_is_unchanged(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (10 * torch.rand(shape, generator=torch.Generator().manual_seed(0))).to(dtype)
    state = {"random": torch.get_rng_state(), "pending": [{"loss": tensor}]}
    found = decode(encode(state))
    assert torch.equal(found["random"], state["random"])
    assert torch.equal(found["pending"][0]["loss"], tensor) and found["pending"][0]["loss"].dtype == dtype


def test_an_object_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"path": Path()})
    document = json.dumps({"__tensor__": ["torch.float32", [10**9]]}).encode()
    for message in (pickle.dumps([1]), len(document).to_bytes(8, "little") + document):
        with pytest.raises(ValueError, match="."):
            decode(message)


def test_two_processes_exchange_values_without_pickles(tmp_path: Path) -> None:
    run_together(PROCESS, [str(tmp_path / "found")], 2)
    for rank in range(2):
        shapes, first = json.loads((tmp_path / f"found.{rank}").read_text())
        assert shapes == [[0, [3, 1], 0.0], [1, [3, 2], 1.0]] and first == "of 1" * 1001
