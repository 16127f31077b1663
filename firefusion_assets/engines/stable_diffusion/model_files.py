"""Weights and JSON in the folder of a network: whether they are there, whole, and what they seem to be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_LFS: Final = b"version https://git-lfs"
AGAIN: Final = "download or convert the model again, with safetensors"
"""The remedy for most."""


def weight_problems(part: Path) -> Iterator[str]:
    """Say what is wrong with the weights in a folder: they have to be there, whole, and no pointers to them."""
    name = "model" if part.name.startswith("text_encoder") else "diffusion_pytorch_model"
    files = _weight_files(part, name)
    if not files:
        non_ema = any(part.glob("*.non_ema.*"))
        only = " (the non-EMA weights alone aren't those that are meant to paint)" if non_ema else ""
        yield f"{part} lacks {name}.safetensors{only}; {AGAIN}"
    for file in files:
        yield from _damage(file)


def _weight_files(part: Path, name: str) -> list[Path]:
    """Return the weights of a part: one file, or the shards of an index; in half precision where they are so only."""
    for variant in ("", ".fp16"):
        index = part / f"{name}.safetensors.index{variant}.json"
        if (whole := part / f"{name}{variant}.safetensors").is_file():
            return [whole]
        if index.is_file():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise ValueError(f"{index} names no shards; {AGAIN}")
            return [part / str(shard) for shard in sorted(set(shards.values()))]
    return []


def _damage(file: Path) -> Iterator[str]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        yield f"{file} is missing; {AGAIN}"
        return
    with file.open("rb") as stream:
        head = stream.read(len(_LFS))
    if head == _LFS:
        yield f"{file} is a pointer of Git LFS and holds no weights; run `git lfs pull` in the folder"
        return
    try:
        with safe_open(file, "np"):
            pass
    except SafetensorError as error:
        yield f"{file} can't be read ({error}): it was cut off, or is no safetensors; {AGAIN}"


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a file.

    Raises:
        ValueError: naming file and remedy.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} lacks {file.name}; {AGAIN}")
    content = file.read_bytes()
    if content.startswith(_LFS):
        raise ValueError(f"{file} is a pointer of Git LFS; run `git lfs pull` in the folder")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON ({error}); {AGAIN}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds {type(values).__name__}, not keys with values; {AGAIN}")
    return values
