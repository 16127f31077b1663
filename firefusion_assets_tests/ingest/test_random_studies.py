"""Random studies of folders, zips and tables: either exactly the patches that the rules of docs/inputs.md give, or a
refusal that names a file. Run more of them by hand with FIREFUSION_STUDIES_TO_TRY=500.
"""

import os
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from firefusion_assets.ingest.sources.patch_inputs import BadInputError
from firefusion_assets_tests.builders.ingesting import folder_study, run
from firefusion_assets_tests.builders.rasters import write_raster

SIZE = 8
MISTAKES = (
    "mask without image", "image twice", "group without name", "groups alike", "fraction in a mask",
    "negative in a mask", "other size", "eight bits among others", "cut off", "link to nothing", "row twice",
    "row without image", "image without row", "cells missing",
)  # fmt: skip
OF_TABLES = {"row twice", "row without image", "image without row", "cells missing"}
OF_FOLDERS = {"link to nothing", "image twice"}


@dataclass
class Item:
    """A pair of files, as arrays."""

    name: str
    group: str
    bands: npt.NDArray[Any]
    mask: npt.NDArray[Any] | None


@dataclass
class Drawn:
    """A study as it was drawn, and what is wrong with it."""

    items: list[Item]
    nodata: int | None
    mask_nodata: int | None
    mask_ignore: int | None
    missing_mask: str
    table: bool
    zipped: bool
    separator: str
    encoding: str
    mistake: str | None
    folders: list[str] = field(default_factory=list)


@st.composite
def studies(draw: st.DrawFn) -> Drawn:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32"]))
    signed = dtype.startswith("int")
    nodata = draw(st.sampled_from([None, 0, 7, -9999 if signed else 200]))
    mask_dtype = draw(st.sampled_from(["uint8", "int16", "float32"]))
    unknown = draw(st.sampled_from(["none", "nodata", "ignore", "both"]))
    stems = draw(
        st.lists(st.text("abcé -_.Z9", min_size=1, max_size=5), min_size=2, max_size=5, unique_by=str.casefold)
    )
    items = []
    for number, stem in enumerate(stems):
        bands = rng.integers(1, 200, (2, SIZE, SIZE)).astype(dtype)
        kind = draw(st.sampled_from(["none", "some", "all"]))
        holes = (
            np.ones((SIZE, SIZE), bool) if kind == "all" else rng.random((SIZE, SIZE)) < (0.3 if kind == "some" else 0)
        )
        bands[:, holes] = nodata or 0
        bands[0, rng.random((SIZE, SIZE)) < 0.1] = nodata or 0
        mask = (rng.random((SIZE, SIZE)) < draw(st.sampled_from([0, 0.2]))) * draw(st.sampled_from([1, 5]))
        mask = mask.astype(mask_dtype)
        if unknown != "none":
            mask[rng.random((SIZE, SIZE)) < draw(st.sampled_from([0, 0.2]))] = 255 if mask_dtype != "int16" else 300
        group = f"{draw(st.sampled_from('ABC'))}{draw(st.sampled_from('xy'))}"
        masked = draw(st.integers(0, 9)) > 0
        items.append(Item(f"{number}{stem}", group, bands, mask if masked else None))
    value = None if unknown == "none" else 255 if mask_dtype != "int16" else 300
    table = draw(st.booleans())
    zipped = draw(st.booleans())
    possible = [one for one in MISTAKES if (table or one not in OF_TABLES) and not (zipped and one in OF_FOLDERS)]
    return Drawn(
        items=items,
        nodata=nodata,
        mask_nodata=value if unknown in ("nodata", "both") else draw(st.sampled_from([None, 0])),
        mask_ignore=value if unknown in ("ignore", "both") else None,
        missing_mask=draw(st.sampled_from(["event-free", "fail"])),
        table=table,
        zipped=zipped,
        separator=draw(st.sampled_from(",;\t")),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        mistake=draw(st.none() | st.sampled_from(possible)),
        folders=[draw(st.sampled_from(["", "deep/", "deep/er/"])) for _ in items],
    )


def expected(drawn: Drawn) -> dict[str, tuple[Any, Any, Any, str]] | None:
    """Return bands, label, ignored pixels and group by patch, pixel by pixel from the rules; None: it is refused."""
    if drawn.mistake is not None or all(item.mask is None for item in drawn.items):
        return None
    patches: dict[str, tuple[Any, Any, Any, str]] = {}
    for item in drawn.items:
        if item.mask is None and not drawn.table and drawn.missing_mask == "fail":
            return None
        bands, label, ignore = (
            np.zeros((2, SIZE, SIZE), int),
            np.zeros((SIZE, SIZE), bool),
            np.zeros((SIZE, SIZE), bool),
        )
        events = unknowns = 0
        for y, x in np.ndindex(SIZE, SIZE):
            nothing = [int(value) == (drawn.nodata or 0) for value in item.bands[:, y, x]]
            bands[:, y, x] = [0 if gone else value for gone, value in zip(nothing, item.bands[:, y, x], strict=True)]
            ignore[y, x] = all(nothing)
            value = 0 if item.mask is None else float(item.mask[y, x])
            unknown = value != 0 and value in (drawn.mask_nodata, drawn.mask_ignore)
            events += value != 0 and not unknown
            unknowns += unknown
            label[y, x] = value != 0 and not unknown and not ignore[y, x]
            ignore[y, x] |= unknown
        if drawn.mask_nodata and drawn.mask_nodata != drawn.mask_ignore and unknowns and not events:
            return None  # nobody knows whether it is the event or unknown
        if not ignore.all():
            patches[f"{item.name}_img"] = bands, label, ignore, item.group
    return patches or None


def write(drawn: Drawn, folder: Path) -> None:
    """Write the files, and the mistake."""
    items, mistake = drawn.items, drawn.mistake
    first = items[0]
    if mistake == "group without name":
        first.group = " "
    if mistake == "groups alike":
        first.group, items[1].group = "Ax", "a X" if not drawn.table else "ax "
        first.group = "A x" if not drawn.table else first.group
    if mistake in ("fraction in a mask", "negative in a mask"):
        first.mask = np.zeros((SIZE, SIZE), np.float32)
        first.mask[2, 2] = 0.5 if mistake.startswith("fraction") else -1
    if mistake == "other size":
        first.bands = first.bands[:, :-1]
    if mistake == "eight bits among others":
        wide = "uint8" if first.bands.dtype != np.uint8 else "uint16"
        items[1].bands = np.clip(items[1].bands, 0, 200).astype(wide)
    for kind, place in (("i", "img"), ("m", "msk")):
        for item, below in zip(items, drawn.folders, strict=True):
            array = item.bands if kind == "i" else None if item.mask is None else item.mask[None]
            if array is None:
                continue
            nodata = drawn.nodata if kind == "i" else drawn.mask_nodata
            fits = nodata is None or rasterio.dtypes.in_dtype_range(nodata, array.dtype.name)
            path = folder / kind / below / f"{item.name}_{place}.tif"
            write_raster(path, array, **({"nodata": nodata} if fits and nodata is not None else {}))
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / "._junk.tif").write_bytes(b"x")
        (folder / kind / "Thumbs.db").write_bytes(b"x")
    image = folder / "i" / drawn.folders[0] / f"{first.name}_img.tif"
    if mistake == "mask without image":
        write_raster(folder / "m" / "lonely_msk.tif", np.zeros((1, SIZE, SIZE), np.uint8))
    if mistake == "image twice":
        (folder / "i" / "again").mkdir()
        (folder / "i" / "again" / image.name).write_bytes(image.read_bytes())
    if mistake == "cut off":
        image.write_bytes(image.read_bytes()[:200])
    if mistake == "link to nothing":
        (folder / "i" / "gone_img.tif").symlink_to(folder / "nowhere.tif")
    if drawn.table:
        rows = [
            (f"{item.name}_img.tif", f"{item.name}_msk.tif" if item.mask is not None else "", item.group)
            for item in items
        ]
        rows += rows[:1] if mistake == "row twice" else []
        rows += [("gone_img.tif", "", "Ax")] if mistake == "row without image" else []
        lines = [drawn.separator.join(row) for row in [("image", "mask", "group"), *rows]]
        if mistake == "image without row":
            del lines[1]
        if mistake == "cells missing":
            lines[1] = lines[1].rsplit(drawn.separator, 1)[0]
        (folder / "pairs.csv").write_text("\r\n".join(lines) + "\r\n", drawn.encoding, newline="")
    else:
        lines = [
            f"image{drawn.separator}group",
            *(f"{item.name}_img.tif{drawn.separator}{item.group}" for item in items),
        ]
        (folder / "groups.csv").write_text("\n".join(lines) + "\n", drawn.encoding, newline="")
    if drawn.zipped:
        for kind in "im":
            with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
                for file in sorted((folder / kind).rglob("*")):
                    archive.write(file, f"top/{file.relative_to(folder / kind)}")
                archive.writestr("__MACOSX/top/._x.tif", b"x")


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("FIREFUSION_STUDIES_TO_TRY", "40")),
    suppress_health_check=list(HealthCheck),
)
@given(drawn=studies())
def test_a_random_study_gives_what_the_rules_say_or_is_refused_by_name(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        patches = expected(drawn)
        event(f"{'refused' if patches is None else 'read'}, mistake: {drawn.mistake}")
        write(drawn, folder)
        ending = ".zip" if drawn.zipped else ""
        chosen: dict[str, Any] = {
            "images": f"i{ending}", "masks": f"m{ending}", "missing_mask": drawn.missing_mask,
            "mask_ignore": drawn.mask_ignore,
            "pairs": {"table": "pairs.csv"} if drawn.table else folder_study().dataset.pairs.model_dump(),
            "groups": None if drawn.table else {"table": "groups.csv"},
        }  # fmt: skip
        try:
            _, table, store = run(folder_study(**chosen), folder, folder / "out")
        except (BadInputError, FileNotFoundError, ValueError) as refusal:
            message = str(refusal)
            assert patches is None, message
            assert str(folder) in message or "no patch holds data" in message, message
            return
        assert patches is not None, f"was read in spite of: {drawn.mistake}"
        assert set(table.index) == set(store.base_ids) == set(patches)
        for name, (bands, label, ignore, group) in patches.items():
            patch = store.read(name)
            np.testing.assert_array_equal(patch.bands, bands)
            np.testing.assert_array_equal(patch.label, label)
            np.testing.assert_array_equal(patch.ignore, ignore)
            assert table.loc[name, "group"] == group or table.loc[name, "scene"] == group
