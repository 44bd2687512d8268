"""Messages between the processes of a run: plain values and tensors as JSON and raw bytes, never pickles."""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

LARGEST = 2**28  # bytes of a message: the state of a process has a few thousand
_TENSOR = "__tensor__"
_DTYPES = {
    str(dtype): dtype
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8)
}


def encode(value: Any) -> bytes:
    """Returns None, booleans, numbers, text, lists, dictionaries with text keys, and tensors as bytes.

    The bytes are the length of a JSON document (8 bytes), the document, in which a tensor is its type and shape, and
    the content of the tensors in order. Tuples become lists.

    Raises:
        TypeError: for other values.
    """
    tensors: list[Tensor] = []

    def plain(part: Any) -> Any:
        if isinstance(part, Tensor):
            tensors.append(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8))
            return {_TENSOR: [str(part.dtype), list(part.shape)]}
        if isinstance(part, dict):
            return {name: plain(one) for name, one in part.items()}
        return [plain(one) for one in part] if isinstance(part, list | tuple) else part

    document = json.dumps(plain(value)).encode()
    return len(document).to_bytes(8, "little") + document + b"".join(tensor.numpy().tobytes() for tensor in tensors)


def decode(message: bytes) -> Any:
    """Returns the value that `encode` was given, with its tensors on the CPU. ValueError for other bytes."""
    end = 8 + int.from_bytes(message[:8], "little")
    position = end

    def restored(part: Any) -> Any:
        nonlocal position
        if isinstance(part, list):
            return [restored(one) for one in part]
        if not isinstance(part, dict):
            return part
        if part.keys() != {_TENSOR}:
            return {name: restored(one) for name, one in part.items()}
        name, shape = part[_TENSOR]
        dtype = _DTYPES[name]
        begin, position = position, position + torch.Size(shape).numel() * dtype.itemsize
        if position > len(message):
            raise ValueError("a message ends within a tensor")
        content = torch.frombuffer(bytearray(message[begin:position]), dtype=dtype) if position > begin else None
        return (torch.empty(0, dtype=dtype) if content is None else content).reshape(shape)

    try:
        return restored(json.loads(message[8:end]))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a message of another form: {error}") from error


def all_gather(value: Any) -> list[Any]:
    """Returns the `value` of every process, by rank."""
    message = _tensor(encode(value))
    lengths = [torch.zeros(1, dtype=torch.int64, device=message.device) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, torch.tensor([len(message)], dtype=torch.int64, device=message.device))
    counts = [_checked(int(length)) for length in lengths]
    padded = torch.zeros(max(counts), dtype=torch.uint8, device=message.device)
    padded[: len(message)] = message
    messages = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(messages, padded)
    return [decode(one[:count].cpu().numpy().tobytes()) for one, count in zip(messages, counts, strict=True)]


def broadcast(value: Any, source: int = 0) -> Any:
    """Returns the `value` of the process of rank `source`."""
    message = _tensor(encode(value if dist.get_rank() == source else None))
    length = torch.tensor([len(message)], dtype=torch.int64, device=message.device)
    dist.broadcast(length, source)
    if dist.get_rank() != source:
        message = torch.empty(_checked(int(length)), dtype=torch.uint8, device=message.device)
    dist.broadcast(message, source)
    return value if dist.get_rank() == source else decode(message.cpu().numpy().tobytes())


def _tensor(message: bytes) -> Tensor:
    """The bytes on the device of the process group's backend."""
    _checked(len(message))
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else "cpu"
    return torch.frombuffer(bytearray(message), dtype=torch.uint8).to(device)


def _checked(length: int) -> int:
    if not 0 < length <= LARGEST:
        raise ValueError(f"a message of {length:,} bytes; at most {LARGEST:,} are exchanged")
    return length
