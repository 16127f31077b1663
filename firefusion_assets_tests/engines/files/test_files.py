"""Images painted elsewhere: handed out, painted on, matched to the plan, and put in inside the edit masks only."""

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from firefusion_assets.engines.companions import fit_companions
from firefusion_assets.engines.files.fitting import fit
from firefusion_assets.engines.files.images import listing
from firefusion_assets.engines.files.painter import FilesPainter
from firefusion_assets.engines.files.settings import FilesGenerator
from firefusion_assets.ingest.base_store import BASE_STORE, TABLE
from firefusion_assets.inpainting.handout import hand_out
from firefusion_assets.inpainting.mask_kinds import TransplantedMasks
from firefusion_assets.inpainting.plan import Draw, Plan, write_plan
from firefusion_assets.patchstore import Patch, Patches, PatchPart, PatchWriter, StoreMeta
from firefusion_assets.study.augmentation import Sampling
from firefusion_assets.study.models import Backgrounds
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.parts import BANDS, make_part, table_of
from firefusion_assets_tests.builders.studies import lineage_of, write_study

MOVED = TransplantedMasks()

SIZE = 32
COMPOSITE = ("B7", "B6", "B2")
CHANNELS = [BANDS.index(band) for band in COMPOSITE]
LANDSAT = "LC08_L1TP_193029_20200914_20200914_01_RT_{}"


@pytest.fixture(scope="module")
def plan(part: PatchPart, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    write_plan(
        part,
        table_of(part),
        Backgrounds(),
        TransplantedMasks(dilation=2),
        Sampling(images=3, max_tries=8),
        Draw(0, 0, 1),
        folder,
    )
    return Plan.read(folder, SIZE)


def backgrounds_of(part: PatchPart, plan: Plan) -> npt.NDArray[np.uint16]:
    return np.stack([part.read(patch_id).bands for patch_id in plan.rows["background"]])


def taken_in(
    part: PatchPart, images: Path, rows: pd.DataFrame, work: Path, **options: object
) -> tuple[FilesPainter, dict[str, float]]:
    """Fit the engine on a folder of images and load its painter."""
    work.mkdir()
    generator = {"engine": "files", "images": str(images), "companion_bands": "background"} | options
    facts = fit(FilesGenerator.model_validate(generator), part, work, lambda message: None)
    return FilesPainter(work, rows), facts


def painted(painter: FilesPainter, part: PatchPart, plan: Plan) -> npt.NDArray[np.uint16]:
    """Paint the whole plan."""
    return painter.paint(backgrounds_of(part, plan), plan.labels, plan.edits, plan.rows["seed"].to_numpy())


def write_tiff(path: Path, pixels: npt.NDArray[np.generic]) -> None:
    bands, height, width = pixels.shape
    options = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **options) as dataset:
        dataset.write(pixels)


def save(path: Path, grey: int = 0, size: int = SIZE) -> None:
    """Save an image of one grey as PNG."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (size, size), (grey, grey, grey)).save(path)


@pytest.mark.parametrize("factor", [1, 3])
def test_what_is_painted_on_a_hand_out_comes_back_inside_the_edit_masks_only(
    part: PatchPart, plan: Plan, tmp_path: Path, factor: int
) -> None:
    hand_out(plan, part, COMPOSITE, factor * SIZE, tmp_path / "out")
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv")
    assert pairs["row"].tolist() == plan.rows["row"].tolist()
    assert pairs["background_id"].tolist() == plan.rows["background"].tolist()
    assert pairs["mask_id"].tolist() == plan.rows["mask"].tolist()
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(1)
    paints = rng.integers(0, 256, (len(pairs), SIZE, SIZE, 3)).astype(np.uint8)
    untouched = rng.random((len(pairs), SIZE, SIZE)) < 0.5
    for pair, edit, paint, keep in zip(pairs.itertuples(), plan.edits, paints, untouched, strict=True):
        picture = np.array(Image.open(tmp_path / "out" / pair.background))
        mask = np.array(Image.open(tmp_path / "out" / pair.mask))
        assert picture.shape == (factor * SIZE, factor * SIZE, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(mask, np.kron(edit, np.full((factor, factor), 255)))
        brush = np.kron(~keep, np.ones((factor, factor))) == 1
        picture[brush] = np.kron(paint, np.ones((factor, factor, 1), np.uint8))[brush]  # outside the mask too
        Image.fromarray(picture).save(tmp_path / "images" / pair.image)
    painter, facts = taken_in(part, tmp_path / "images", plan.rows, tmp_path / "work")
    assert facts == {"n_images": len(pairs), "n_8bit": len(pairs)}
    result, backgrounds = painted(painter, part, plan), backgrounds_of(part, plan)
    outside = np.broadcast_to(~plan.edits[:, None], backgrounds.shape)
    np.testing.assert_array_equal(result[outside], backgrounds[outside])
    others = [channel for channel in range(len(BANDS)) if channel not in CHANNELS]
    np.testing.assert_array_equal(result[:, others], backgrounds[:, others])
    for n, place in itertools.product(range(len(pairs)), np.ndindex(SIZE, SIZE)):
        for colour, channel in enumerate(CHANNELS if plan.edits[n][place] else []):
            value = int(result[n, channel][place])
            if untouched[n][place]:
                assert abs(value - int(backgrounds[n, channel][place])) <= 128  # half a step of 8 bit
            else:
                assert value == max(1, 257 * int(paints[n][place][colour]))  # DN 0 is fill


def test_tiff_of_16_bit_is_taken_in_exactly_and_8_bit_is_marked(part: PatchPart, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    dn = np.random.default_rng(2).integers(1, 65536, (len(plan.rows), 3, SIZE, SIZE)).astype(np.uint16)
    for pixels, row in zip(dn[:-2], plan.rows["row"], strict=False):
        write_tiff(tmp_path / "images" / f"row-{row:06d}.TIF", pixels)
    eight_bit, missing = plan.rows["row"].tolist()[-2:]
    write_tiff(tmp_path / "images" / f"row-{eight_bit:06d}-web.tiff", np.full((3, SIZE, SIZE), 255, np.uint8))
    painter, facts = taken_in(part, tmp_path / "images", plan.rows, tmp_path / "work")
    assert facts == {"n_images": len(dn) - 1, "n_8bit": 1}
    result, backgrounds = painted(painter, part, plan), backgrounds_of(part, plan)
    for n, edit in enumerate(plan.edits[:-2]):
        np.testing.assert_array_equal(result[n][CHANNELS][:, edit], dn[n][:, edit])
    assert (result[-2][CHANNELS][:, plan.edits[-2]] == 65535).all()
    np.testing.assert_array_equal(result[-1], backgrounds[-1])
    by_row = dict(zip(plan.rows["row"], painter.bit_depths(plan.rows), strict=True))
    assert by_row == dict.fromkeys(plan.rows["row"], 16) | {eight_bit: 8} and missing != eight_bit
    assert painter.bit_depths(plan.rows[::-1]) == painter.bit_depths(plan.rows)[::-1]


@settings(max_examples=20)
@given(
    factor=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    dn_max=st.sampled_from([255, 32767, 65535]),
    seed=st.integers(0, 2**32),
)
def test_larger_images_are_averaged_and_rounded_once(
    tmp_path_factory: pytest.TempPathFactory, factor: int, dtype: type, dn_max: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("mean")
    size = 4
    with PatchWriter(folder / "store", StoreMeta(study="t", bands=BANDS, patch_size=size, dn_max=dn_max)) as writer:
        nothing = np.zeros((size, size), bool)
        writer.add_patch("p", Patch(np.ones((len(BANDS), size, size), np.uint16), nothing, nothing))
    highest = 255 if dtype is np.uint8 else dn_max
    pixels = np.random.default_rng(seed).integers(0, highest + 1, (3, size * factor, size * factor)).astype(dtype)
    (folder / "images").mkdir()
    write_tiff(folder / "images" / "row-0.tif", pixels)
    rows = pd.DataFrame({"row": [0], "background": ["p"], "mask": ["p"], "seed": [5]})
    painter, _ = taken_in(PatchPart(Patches(folder / "store"), ["p"]), folder / "images", rows, folder / "work")
    ground, everywhere = np.ones((1, len(BANDS), size, size), np.uint16), np.ones((1, size, size), bool)
    result = painter.paint(ground, everywhere, everywhere, np.array([5]))
    for (band, channel), y, x in itertools.product(enumerate(CHANNELS), range(size), range(size)):
        block = [int(pixels[band, y * factor + dy, x * factor + dx]) for dy in range(factor) for dx in range(factor)]
        mean = sum(block) / factor**2 * (dn_max / 255 if dtype is np.uint8 else 1)
        assert abs(int(result[0, channel, y, x]) - max(1, mean)) <= 0.5 + 1e-6


def test_other_bands_are_regressed_on_the_label(part: PatchPart, plan: Plan, tmp_path: Path) -> None:
    for row in plan.rows["row"][:-1]:
        save(tmp_path / "images" / f"row-{row:06d}.png", 180)
    painter, _ = taken_in(part, tmp_path / "images", plan.rows, tmp_path / "work", companion_bands="regressed")
    result, backgrounds = painted(painter, part, plan), backgrounds_of(part, plan)
    np.testing.assert_array_equal(result[-1], backgrounds[-1])
    companions, other = fit_companions(part, COMPOSITE), BANDS.index("B5")
    for image, ground, label in zip(result[:-1], backgrounds, plan.labels, strict=False):
        np.testing.assert_array_equal(image[other][~label], ground[other][~label])
        grey = ground.copy()
        grey[CHANNELS] = 180 * 257
        predicted = companions.fill(grey[None], label[None])[0, other]
        np.testing.assert_array_equal(image[other][label], np.rint(predicted)[label])
        assert (image[other][label] != ground[other][label]).any()


def test_seeds_decide_which_image_is_put_in_and_others_are_refused(part: PatchPart, plan: Plan, tmp_path: Path) -> None:
    for grey, row in enumerate(plan.rows["row"]):
        save(tmp_path / "images" / f"row-{row:06d}.png", 10 * grey + 10)
    painter, _ = taken_in(part, tmp_path / "images", plan.rows, tmp_path / "work")
    whole = painted(painter, part, plan)
    some = [5, 0, 3]
    inputs = (backgrounds_of(part, plan), plan.labels, plan.edits, plan.rows["seed"].to_numpy())
    np.testing.assert_array_equal(painter.paint(*(each[some] for each in inputs)), whole[some])
    with pytest.raises(KeyError):
        painter.paint(*(each[:1] for each in inputs[:3]), np.array([123]))


def test_a_row_without_image_keeps_its_background_bit_by_bit(part: PatchPart, plan: Plan, tmp_path: Path) -> None:
    save(tmp_path / "images" / f"row-{plan.rows['row'][0]:06d}.png", 200)
    painter, _ = taken_in(part, tmp_path / "images", plan.rows, tmp_path / "work")
    dark = np.zeros_like(backgrounds_of(part, plan))  # a DN of 0 is not always fill
    result = painter.paint(dark, plan.labels, plan.edits, plan.rows["seed"].to_numpy())
    assert result[0].any() and not result[1:].any()


def plan_rows(*pairs: tuple[str, str], first: int = 0) -> pd.DataFrame:
    """Rows of a plan with these backgrounds and masks."""
    return pd.DataFrame(
        [
            {"row": first + number, "background": background, "mask": mask, "seed": 1000 + number}
            for number, (background, mask) in enumerate(pairs)
        ]
    )


def assigned(
    part: PatchPart, names: Mapping[str, int], rows: pd.DataFrame, folder: Path, **options: object
) -> list[int]:
    """Take in images of one grey each; return the grey that each row of the plan gets, 0 without an image."""
    for name, grey in names.items():
        save(folder / "images" / name, grey)
    painter, _ = taken_in(part, folder / "images", rows, folder / "work", **options)
    ground, everywhere = (
        np.zeros((len(rows), len(BANDS), SIZE, SIZE), np.uint16),
        np.ones((len(rows), SIZE, SIZE), bool),
    )
    return (
        painter.paint(ground, everywhere, everywhere, rows["seed"].to_numpy())[:, CHANNELS[0], 0, 0] // 257
    ).tolist()


KUMAR_ROY, VOTING = LANDSAT.format("Kumar-Roy_p00910"), LANDSAT.format("p01044")


@pytest.mark.parametrize(
    ("pairs", "names", "expected"),
    [
        pytest.param(
            [(KUMAR_ROY, VOTING), (VOTING, KUMAR_ROY)],
            {f"{VOTING}-{KUMAR_ROY}.png": 1, f"{KUMAR_ROY}-{VOTING}-00017-seed.png": 2},
            [2, 1],
            id="landsat names",
        ),
        pytest.param(
            [("b", "m")] * 12,
            {"b-m.png": 1} | {f"b-m-{n}.png": n for n in range(2, 13)},
            list(range(1, 13)),
            id="copies of one pair in the order of their numbers",
        ),
        pytest.param(
            [("b", "m"), ("c", "m"), ("b", "m")],
            {"b-m-7.png": 1, "c-m-1.png": 2, "b-m-9.png": 3},
            [1, 2, 3],
            id="mixed",
        ),
        pytest.param(
            [("a-b-1", "c-2"), ("a", "c_d-1")],
            {"a-b-1-c-2-1.png": 1, "a-c_d-1.png": 2},
            [1, 2],
            id="ids with hyphens that end in numbers",
        ),
        pytest.param(
            [("p1", "p2"), ("p1", "p20")], {"p1-p20.png": 1, "p1-p2.png": 2}, [2, 1], id="one id starts another"
        ),
        pytest.param([("p.1", "m.2"), ("q", "m.2")], {"p.1-m.2.png": 1}, [1, 0], id="ids with dots, one row left out"),
        pytest.param(
            [("x", "y"), ("x", "y"), ("row", "5")],
            {"row-000001-x.png": 1, "row-0.png": 2, "row-5-2.png": 3},
            [2, 1, 3],
            id="names of the hand-out",
        ),
    ],
)
def test_names_tell_the_row(
    part: PatchPart, tmp_path: Path, pairs: list[tuple[str, str]], names: dict[str, int], expected: list[int]
) -> None:
    assert assigned(part, names, plan_rows(*pairs), tmp_path) == expected


@settings(max_examples=40)
@given(ids=st.lists(st.text("ab-_1", min_size=1, max_size=5), min_size=2, max_size=5, unique=True), data=st.data())
def test_pairs_are_found_by_their_ids_or_refused_as_ambiguous(
    part: PatchPart, tmp_path_factory: pytest.TempPathFactory, ids: list[str], data: st.DataObject
) -> None:
    pairs = list(itertools.product(ids, ids))[:12]
    wanted = data.draw(st.integers(0, len(pairs) - 1))
    name = "-".join(pairs[wanted]) + data.draw(st.sampled_from(["", "-1", "-a-1"]))
    fitting = [n for n, pair in enumerate(pairs) if f"{name}-".startswith("-".join(pair) + "-")]
    folder = tmp_path_factory.mktemp("names")
    if fitting == [wanted]:
        greys = assigned(part, {f"{name}.png": 9}, plan_rows(*pairs), folder)
        assert greys == [9 if n == wanted else 0 for n in range(len(pairs))]
    else:
        with pytest.raises(ValueError, match="fit several pairs"):
            assigned(part, {f"{name}.png": 9}, plan_rows(*pairs), folder)


def test_a_table_decides_instead_of_names_and_leaves_images_out(part: PatchPart, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("note;image;row\nfine;one.png;12\n;row-000010.png; 11\n", encoding="utf-16")
    names = {"one.png": 1, "row-000010.png": 2, "left-out.png": 3}
    rows = plan_rows(("a", "b"), ("a", "b"), ("a", "b"), first=10)
    assert assigned(part, names, rows, tmp_path, table=str(table)) == [0, 2, 1]


def test_the_hand_outs_own_pairs_are_a_table(part: PatchPart, plan: Plan, tmp_path: Path) -> None:
    hand_out(plan, part, COMPOSITE, SIZE, tmp_path / "out")
    names = {f"row-{row:06d}.png": 3 * n + 1 for n, row in enumerate(plan.rows["row"])}
    table = str(tmp_path / "out" / "pairs.csv")
    assert assigned(part, names, plan.rows, tmp_path, table=table) == list(names.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv:1: lacks column image, row"),
        ("row|image\n1|one.png\n", "table.csv:1: lacks column image, row"),
        ("row,image\n", "table.csv: names no image; write a line for each"),
        ("row,image\n1,one.png,2\n", "table.csv:2: has 3 cells, its header has 2"),
        ("row,image\n1,absent.png\n", "image is not in generator.images.*: absent.png"),
        ("row,image\nrow-1,one.png\n", "row must be its number in the plan: row-1"),
        ("row,image\n1,one.png\n1,two.png\n", "row is listed twice.*: 1"),
        ("row,image\n1,one.png\n2,one.png\n", "image is listed twice.*: one.png"),
        (
            "row,image\n1,one.png\n7,two.png\n",
            "two.png: fit no row of the plan.*\n1 of the plan's 3 rows have an image",
        ),
    ],
)
def test_a_table_that_can_not_be_followed_is_refused(part: PatchPart, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    rows = plan_rows(("a", "b"), ("a", "b"), ("a", "b"))
    with pytest.raises(ValueError, match=message):
        assigned(part, {"one.png": 1, "two.png": 2}, rows, tmp_path, table=str(tmp_path / "table.csv"))


def test_all_faults_of_a_table_are_told_at_once(part: PatchPart, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("row,image\nx,one.png\n2,absent.png\n2,one.png\n")
    with pytest.raises(ValueError) as error:
        assigned(part, {"one.png": 1}, plan_rows(("a", "b")), tmp_path, table=str(tmp_path / "table.csv"))
    assert len(str(error.value).splitlines()) == 4


def test_images_that_fit_nowhere_are_told_at_once(part: PatchPart, tmp_path: Path) -> None:
    rows = plan_rows(("a", "b"), ("a", "b"), ("a", "b-1"), ("c", "d"))
    names = [
        *(f"x{n}.png" for n in range(7)),
        "row-000009.png",
        "a-b-1.png",
        "c-d-1.png",
        "c-d-2.png",
        "row-000003.png",
    ]
    with pytest.raises(ValueError) as error:
        assigned(part, dict.fromkeys(names, 1), rows, tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 4 and lines[-1] == "1 of the plan's 4 rows have an image"
    (ambiguous,) = (line for line in lines if "several pairs" in line)
    (surplus,) = (line for line in lines if "more images than plan rows" in line)
    (unknown,) = (line for line in lines if "fit no row" in line)
    assert "a-b-1.png" in ambiguous and "generator.table" in ambiguous
    assert "c-d-2.png, row-000003.png: " in surplus and "max_tries" in surplus
    assert "row-000009.png, x0.png, x1.png, x2.png, x3.png and 3 more: " in unknown and "max_tries" in unknown


def test_bad_images_are_told_at_once_with_what_to_do(part: PatchPart, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    picture.save(folder / "row-0.png")
    whole = (folder / "row-0.png").read_bytes()
    (folder / "cut-off.png").write_bytes(whole[: len(whole) // 2])
    (folder / "damaged.png").write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    (folder / "text.tif").write_text("not an image")
    write_tiff(folder / "cut-off.tif", np.ones((3, SIZE, SIZE), np.uint16))
    with (folder / "cut-off.tif").open("r+b") as file:
        file.truncate(1000)
    picture.save(folder / "photo.png", "JPEG")
    picture.convert("L").save(folder / "grey.png")
    picture.quantize(16).save(folder / "palette.png")
    with rasterio.open(
        folder / "deep.png", "w", driver="PNG", count=3, height=SIZE, width=SIZE, dtype="uint16"
    ) as deep:
        deep.write(np.full((3, SIZE, SIZE), 12345, np.uint16))
    glass = picture.convert("RGBA")
    glass.save(folder / "opaque.png")
    glass.putpixel((3, 3), (1, 2, 3, 254))
    glass.save(folder / "glass.png")
    write_tiff(folder / "glass.tif", np.full((4, SIZE, SIZE), 255, np.uint16))
    picture.resize((2 * SIZE, SIZE)).save(folder / "oblong.png")
    for n in range(7):
        picture.resize((SIZE + 8, SIZE + 8)).save(folder / f"size-{n}.png")
    write_tiff(folder / "float.tif", np.ones((3, SIZE, SIZE), np.float32))
    write_tiff(folder / "single.tif", np.ones((1, SIZE, SIZE), np.uint16))
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(ValueError) as error:
        fit(FilesGenerator(engine="files", images=str(folder)), part, work, lambda message: None)
    told = {
        name: line.rsplit(": ", 1)[1]
        for line in str(error.value).splitlines()
        for name in line.removeprefix(f"{folder}: ").rsplit(": ", 1)[0].split(", ")
    }
    reasons = {
        "cut-off.png": "can't be read; save it again", "damaged.png": "can't be read; save it again",
        "photo.png": "can't be read; save it again", "text.tif": "can't be read; save it again",
        "cut-off.tif": "can't be read; save it again",
        "grey.png": "is no PNG of RGB with 8 bit; save it as that, or as TIFF",
        "palette.png": "is no PNG of RGB with 8 bit; save it as that, or as TIFF",
        "deep.png": "is no PNG of RGB with 8 bit; save it as that, or as TIFF",
        "glass.png": "is transparent in places; save it as RGB, without alpha",
        "glass.tif": "is transparent in places; save it as RGB, without alpha",
        "oblong.png": "is 64 x 32 px; make it a square of 32 px, or of a whole multiple of that",
        **{f"size-{n}.png": "is 40 x 40 px; make it a square of 32 px" for n in range(4)},
        "size-4.png and 2 more": "is 40 x 40 px; make it a square of 32 px",
        "float.tif": "has 3 bands of float32; save it as RGB with 8 or 16 bit",
        "single.tif": "has 1 bands of uint16; save it as RGB with 8 or 16 bit",
    }  # fmt: skip
    assert told.keys() == reasons.keys()
    assert {name: told[name].startswith(reason) for name, reason in reasons.items()} == dict.fromkeys(reasons, True)


@pytest.mark.parametrize("table", [None, "pairs.csv"])
def test_images_that_would_not_be_read_are_named(tmp_path: Path, table: str | None) -> None:
    images = tmp_path / "images"
    (images / "2026-11-25").mkdir(parents=True)
    (images / "a.png").touch()
    (images / "._a.png").touch()
    (tmp_path / "pairs.csv").touch()
    assert [name for name, *_ in listing(images, None)] == ["a.png"]
    for name in ("b.JPG", "c.webp", "2026-11-25/d.png", "2026-11-25/e.jpeg", "notes.txt"):
        (images / name).touch()
    with pytest.raises(ValueError) as error:
        listing(images, tmp_path / table if table else None)
    others, deeper = str(error.value).splitlines()
    assert others.startswith(f"{images}: 2026-11-25/e.jpeg, b.JPG, c.webp: only PNG and TIFF are read")
    assert deeper == f"{images}: 2026-11-25/d.png: lie in folders below, which aren't read; move them up"


def test_names_in_another_encoding_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / os.fsdecode(b"f\xfcr.png")).touch()
    with pytest.raises(ValueError, match=r"f\\udcfcr.png: the name is no UTF-8; rename it"):
        listing(tmp_path, None)


def test_listing_names_what_the_images_are_made_from(tmp_path: Path) -> None:
    images, table = tmp_path / "images", tmp_path / "pairs.csv"
    with pytest.raises(ValueError, match=r"images: there is no such folder.*\n.*pairs.csv: there is no such table"):
        listing(images, table)
    images.mkdir()
    table.write_text("row,image\n")
    (images / "notes.txt").write_text("")
    (images / "folder.png").mkdir()
    with pytest.raises(ValueError, match="holds no PNG and no TIFF"):
        listing(images, table)
    for name in ("b.png", "a.TIF"):
        (images / name).write_text(name)
    listed = listing(images, table)
    assert [(name, size) for name, size, _ in listed] == [("a.TIF", 5), ("b.png", 5), ("pairs.csv", 10)]
    (images / "b.png").write_text("other")
    assert listing(images, table) != listed


def test_a_composite_of_equal_bands_is_refused() -> None:
    with pytest.raises(ValidationError, match="each band may stand in one place only"):
        FilesGenerator.model_validate({"engine": "files", "images": "x", "composite": ("B7", "B7", "B2")})


STUDY = """
name: tiny
dataset: {source: simulated, scenes: 6, patch_size: 32, bands: [B2, B5, B6, B7]}
training: {bands: [B7, B6, B2]}
"""
FILES_CONFIG = """
generator: {engine: files, images: painted, composite: [B6, B5, B2]}
sampling: {images: 2, max_tries: 3}
screening: {detectors: []}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with data and split, its objects written without their assets."""
    folder = write_study(tmp_path / "study", STUDY, {"files": FILES_CONFIG})
    lineage = lineage_of(folder)

    def make_patches(work: Path) -> dict[str, list[str]]:
        ids = make_part(work / BASE_STORE).ids
        pd.DataFrame({"patch_id": ids, "scene": "s", "fire_pixels": 0}).to_parquet(work / TABLE)
        return {"raw_input": []}

    def make_split(work: Path) -> dict[str, int]:
        ids = make_part(work / "unused").ids
        folds = [pd.DataFrame({"fold": fold, "patch_id": ids, "group": ids, "part": "train"}) for fold in (0, 1)]
        pd.concat(folds).to_parquet(work / "split.parquet")
        return {}

    patches = lineage.store.build("landsat_patches", lineage.raw_fingerprint([]), make_patches)
    lineage.store.point("landsat_patches", "_", patches)
    lineage.build("scene_split", "_", make_split, lambda message: None)
    return folder


def make_plans(study: Path) -> None:
    """Write the plans of both folds as `inpainting_masks` does."""
    lineage = lineage_of(study)
    part = make_part(study / "part")
    config = lineage.config("files")

    def make(work: Path) -> dict[str, int]:
        for fold in (0, 1):
            write_plan(
                part,
                table_of(part),
                Backgrounds(),
                config.masks,
                config.sampling,
                Draw(fold, 0, 1),
                work / f"fold-{fold}" / "replicate-0",
            )
        return {}

    lineage.build("inpainting_masks", "files", make, lambda message: None)


def test_the_command_hands_out_the_plan_of_a_fold(study: Path, tmp_path: Path) -> None:
    refusal = firefusion_refuses("handout", "files", tmp_path / "out", study=study)
    assert re.search(r"has not been made.*: firefusion run files --to inpainting_masks$", refusal.strip())
    make_plans(study)
    printed = firefusion("handout", "files", tmp_path / "out", "--size", "64", "--fold", "1", study=study)
    assert printed == f"3 backgrounds and masks: {tmp_path / 'out' / 'pairs.csv'}\n"
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv")
    part = make_part(tmp_path / "part")
    write_plan(
        part,
        table_of(part),
        Backgrounds(),
        MOVED,
        Sampling(images=2, max_tries=3),
        Draw(1, 0, 1),
        tmp_path / "plan",
    )
    expected = Plan.read(tmp_path / "plan", SIZE)
    assert pairs["background_id"].tolist() == expected.rows["background"].tolist()
    for pair, edit in zip(pairs.itertuples(), expected.edits, strict=True):
        shown = np.array(Image.open(tmp_path / "out" / pair.background)).transpose(2, 0, 1)
        dn = part.read(pair.background_id).bands[[BANDS.index(band) for band in ("B6", "B5", "B2")]]
        assert (np.abs(shown[:, ::2, ::2] * 257.0 - dn) <= 128.5).all()
        np.testing.assert_array_equal(shown, shown[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
        np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / pair.mask))[1::2, 1::2] == 255, edit)


def test_the_command_says_what_it_can_not_do(study: Path, tmp_path: Path) -> None:
    make_plans(study)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.png").write_text("")
    for arguments, message in (
        (["files", "new", "--size", "48"], "--size: 48 is no whole multiple of the patches' 32 px"),
        (["files", "new", "--size", "0"], "--size: 0 is no whole multiple"),
        (["files", "new", "--size", "-32"], "--size: -32 is no whole multiple"),
        (["files", "new", "--fold", "2"], "there is no fold 2; the study has 0, 1"),
        (["files", "full"], "full: is not empty"),
        (["other", "new"], "other.yaml: there is no such augmentation config; the study has files"),
    ):
        key, folder, *options = arguments
        refusal = firefusion_refuses("handout", key, tmp_path / folder, *options, study=study)
        assert message in refusal
    assert not (tmp_path / "new").exists()


def test_a_hand_out_needs_rows_and_the_bands_of_the_composite(part: PatchPart, tmp_path: Path) -> None:
    write_plan(part, table_of(part), Backgrounds(), MOVED, Sampling(), Draw(0, 0, 1), tmp_path / "plan")
    empty = Plan.read(tmp_path / "plan", SIZE)
    with pytest.raises(ValueError, match="no rows"):
        hand_out(empty, part, COMPOSITE, SIZE, tmp_path / "out")
    with pytest.raises(ValueError, match=r"B2, B5, B6, B7\) lack B9; set generator.composite"):
        hand_out(empty, part, ("B7", "B9", "B2"), SIZE, tmp_path / "out")
