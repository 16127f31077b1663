"""How one patch lies in a store: uint16 bands as they are, then label and ignore as bit planes.

A record is ``C*H*W`` little-endian uint16, ``H*W/8`` bytes of label bits and ``H*W/8`` bytes of ignore bits
(rows packed by `numpy.packbits`). A label record holds the two bit planes only. What is small and read for
every row at once (kind, weight, fold) stands in the index, so that a record stays aligned and is read without a copy.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
META_KEY = b"\x00meta"
INDEX_KEY = b"\x00index"

RowKind = Literal["patch", "label", "weight"]


class StoreMeta(BaseModel):
    """What every record of a store has in common.

    Attributes:
        schema_version: version of the record layout.
        study: name of the study.
        bands: band names in record order.
        patch_size: height and width in px.
        dn_max: largest DN the sensor's integer type can hold (65535 for Landsat).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    study: str
    bands: tuple[str, ...]
    patch_size: int
    dn_max: int = 65535


class Row(BaseModel):
    """One row of a store's index.

    Attributes:
        patch_id: key of the record; in an overlay the id of a base patch for kinds `label` and `weight`.
        kind: whole patch, only a label for a base patch, or only a weight for one.
        fold: the fold that the row belongs to; None for every fold.
        weight: factor on the patch's loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_id: str
    kind: RowKind = "patch"
    fold: int | None = None
    weight: float = 1.0


class Patch(NamedTuple):
    """One patch as the readers give it.

    Attributes:
        bands: uint16 (C, H, W), read-only.
        label: bool (H, W), True where the event is.
        ignore: bool (H, W), True where neither loss nor metrics look (padding, nodata, rejected paint).
        weight: factor on the patch's loss.
    """

    bands: npt.NDArray[np.uint16]
    label: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    weight: float = 1.0


def encode_planes(label: npt.NDArray[np.bool_], ignore: npt.NDArray[np.bool_]) -> bytes:
    """Return label and ignore (H, W) as two bit planes."""
    return np.packbits(label, axis=None).tobytes() + np.packbits(ignore, axis=None).tobytes()


def decode_planes(buffer: memoryview, size: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Read two bit planes of ``size * size`` px from a buffer that ends with them."""
    plane_bytes = -(-size * size // 8)
    bits = np.frombuffer(buffer, np.uint8, 2 * plane_bytes, len(buffer) - 2 * plane_bytes)
    label, ignore = (
        np.unpackbits(bits[start : start + plane_bytes], count=size * size).reshape(size, size).view(np.bool_)
        for start in (0, plane_bytes)
    )
    return label, ignore


def encode_patch(patch: Patch) -> bytes:
    """Return the record of a whole patch."""
    return np.ascontiguousarray(patch.bands, "<u2").tobytes() + encode_planes(patch.label, patch.ignore)


def decode_bands(buffer: memoryview, n_bands: int, size: int) -> npt.NDArray[np.uint16]:
    """Read uint16 (C, H, W) from the start of a record, without a copy."""
    return np.frombuffer(buffer, "<u2", n_bands * size * size).reshape(n_bands, size, size)
