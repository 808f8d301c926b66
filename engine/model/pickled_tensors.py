"""The tensors of a PyTorch or TorchScript archive, whatever else is pickled beside them, without running any of it.

`torch.load(weights_only=True)` refuses a file that holds a single object of another kind: a numpy scalar, the arguments
of a training script, the modules of a TorchScript archive such as OpenAI's `ViT-B-16.pt`. Here every class and function
that the pickle names is replaced by one that does nothing; only tensors are built, from the bytes beside the pickle.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

DEEPEST = 100  # objects inside one another

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Inert:
    """Stands for an object of any class: takes every argument and every state, and does nothing."""

    state: Any = None  # a pickle may make an object without calling anything

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Whatever it is made from is of no interest."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *arguments: Any, **named: Any) -> Inert:
        return Inert()

    def __setitem__(self, key: Any, value: Any) -> None:
        """For a pickled subclass of dict."""

    def append(self, value: Any) -> None:
        """For a pickled subclass of list."""

    def extend(self, values: Any) -> None:
        """For a pickled subclass of list."""


class Found(Inert):
    """A tensor, out of reach of what the pickle does next."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor = tensor


class Storage:
    """The type of the values in one of the archive's files, as the pickle names it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def read_tensors(archive: Path) -> dict[str, Tensor]:
    """The tensors in `archive` by dotted name. Raises ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile,
    RuntimeError or another exception where it is no such archive or is damaged."""
    with zipfile.ZipFile(archive) as opened:
        pickled = next(name for name in opened.namelist() if name.endswith("/data.pkl") or name == "data.pkl")
        folder = pickled.removesuffix("data.pkl")
        byteorder = f"{folder}byteorder"
        if byteorder in opened.namelist() and opened.read(byteorder) != b"little":
            raise ValueError("the archive was written on a big-endian machine")
        with opened.open(pickled) as file:
            root = _Unpickler(file, lambda key: _stored(opened, f"{folder}data/{key}", archive)).load()
    return dict(_named(root, "", 0))


def _stored(opened: zipfile.ZipFile, name: str, archive: Path) -> bytes:
    """The bytes of a tensor. Torch never compresses them, so a file cannot claim more than it holds."""
    about = opened.getinfo(name)
    if about.compress_type != zipfile.ZIP_STORED or about.file_size > archive.stat().st_size:
        raise ValueError(f"{name} is compressed")
    return opened.read(about)


class _Unpickler(pickle._Unpickler):
    """In Python, not in C: there a few bytes can claim a table of any size in memory."""

    def __init__(self, file: IO[bytes], stored: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self._stored = stored
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return Storage(DTYPES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _rebuild(*arguments)  # anew: a pickle may set attributes of what it names
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":  # lists and dictionaries with the type of what they hold
            return lambda value, *_: value
        return type("Inert", (Inert,), {})

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage: ("storage", type, key, device, number of values)."""
        kind, storage, key, _, _ = pid
        if kind != "storage" or not isinstance(storage, Storage) or not isinstance(key, str):
            raise pickle.UnpicklingError("a reference that is not to a tensor's values")
        if key not in self._storages:
            content = bytearray(self._stored(key))
            empty = torch.empty(0, dtype=storage.dtype)
            self._storages[key] = torch.frombuffer(content, dtype=storage.dtype) if content else empty
        return self._storages[key]


def _rebuild(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Found:
    return Found(storage.as_strided(size, stride, offset))  # torch checks that this lies within the values


def _named(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors in an object, its attributes and its items, by the path that leads to each."""
    if depth > DEEPEST:
        raise ValueError("objects are nested too deep")
    if isinstance(value, Found):
        yield name, value.tensor
        return
    if isinstance(value, Inert):
        value = value.state
        if isinstance(value, tuple) and len(value) == 2:  # a state with slots
            value = value[0]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _named(inner, f"{name}.{key}" if name else str(key), depth + 1)
