"""How one patch lies in a store: uint16 bands as they are, then label and ignore as bit planes.

A record is ``C*H*W`` little-endian uint16, ``H*W/8`` bytes of label bits and ``H*W/8`` bytes of ignore bits
(rows packed by `numpy.packbits`). What is small and read for every row at once (weight, fold) is in the index, so
that a record stays aligned and is read without a copy.
Checksums (CRC-32 by record key) are a record of their own, which only `verify` reads.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
META_KEY = b"\x00meta"
INDEX_KEY = b"\x00index"
CHECKSUMS_KEY = b"\x00checksums"


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

    def band_rows(self, bands: Sequence[str]) -> list[int]:
        """Return the rows of a record's arrays that hold some bands.

        Raises:
            ValueError: if the store lacks one.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise ValueError(f"the store holds {', '.join(self.bands)}, not {', '.join(missing)}; see dataset.bands")
        return [self.bands.index(band) for band in bands]


class Row(BaseModel):
    """One row of a store's index.

    Attributes:
        patch_id: key of the record.
        kind: a whole patch, the only kind that there is.
        fold: the fold that the row belongs to; None for every fold.
        replicate: the replicate that it belongs to; None for every one.
        weight: factor on the patch's loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_id: str
    kind: Literal["patch"] = "patch"
    fold: int | None = None
    replicate: int | None = None
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


class PatchBatch(NamedTuple):
    """Several patches in one array each, which `Patches.read_batch` fills.

    Attributes:
        bands: uint16 (N, C, H, W), DN.
        label: bool (N, H, W), True where the event is.
        ignore: bool (N, H, W), True where neither loss nor metrics look.
        weight: float32 (N,), factor on each patch's loss.
    """

    bands: npt.NDArray[np.uint16]
    label: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, n_bands: int, size: int) -> Self:
        """Return arrays for `n` patches of `size` px, their content not set."""
        return cls(
            np.empty((n, n_bands, size, size), np.uint16),
            np.empty((n, size, size), np.bool_),
            np.empty((n, size, size), np.bool_),
            np.empty(n, np.float32),
        )


def record_key(patch_id: str, fold: int | None) -> bytes:
    """Return the key of a record: the patch id, behind the fold where the row belongs to one."""
    return (patch_id if fold is None else f"{fold}/{patch_id}").encode()


def decode_planes(buffer: memoryview, size: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Read two bit planes of ``size * size`` px from a buffer that ends with them."""
    plane_bytes = -(-size * size // 8)
    bits = np.frombuffer(buffer, np.uint8, 2 * plane_bytes, len(buffer) - 2 * plane_bytes)
    planes = np.unpackbits(bits.reshape(2, plane_bytes), axis=1, count=size * size).view(np.bool_)
    label, ignore = planes.reshape(2, size, size)
    return label, ignore


def encode_patch(patch: Patch) -> bytes:
    """Return the record of a whole patch."""
    planes = (np.packbits(plane, axis=None).tobytes() for plane in (patch.label, patch.ignore))
    return b"".join((np.ascontiguousarray(patch.bands, "<u2").tobytes(), *planes))


def decode_bands(buffer: memoryview, n_bands: int, size: int) -> npt.NDArray[np.uint16]:
    """Read uint16 (C, H, W) from the start of a record, without a copy."""
    return np.frombuffer(buffer, "<u2", n_bands * size * size).reshape(n_bands, size, size)
