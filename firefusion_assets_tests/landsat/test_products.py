"""Products of every generation, as folders and tars, read back exactly; what is wrong with one is told at once."""

import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from firefusion_assets.ingest.cutting import strips
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.products.naming import ProductError, ProductId
from firefusion_assets.landsat.products.product import ProductFiles, find_products, open_product
from firefusion_assets_tests.builders.products import (
    BEFORE_COLLECTIONS,
    COLLECTION_1,
    COLLECTION_2,
    GENERATIONS,
    SUN_ELEVATION,
    TRANSFORM,
    pack_product,
    seeded_planes,
    write_product,
)

HEIGHT, WIDTH = 70, 90


def found(root: Path) -> ProductFiles:
    (product,), problems = find_products(root)
    assert not problems
    return product


def problems_of(root: Path, bands: tuple[str, ...] = FILE_BANDS) -> list[str]:
    with pytest.raises(ProductError) as error, open_product(found(root), bands):
        pass
    return error.value.problems


@pytest.mark.parametrize("mtl", ["txt", "json"])
@pytest.mark.parametrize("ending", ["", ".tar", ".tar.gz"])
@pytest.mark.parametrize("product_id", GENERATIONS)
def test_products_read_back_exactly(tmp_path: Path, product_id: str, ending: str, mtl: str) -> None:
    planes = seeded_planes(product_id, 1, HEIGHT, WIDTH)
    root = write_product(tmp_path, product_id, planes, mtl)
    if ending:
        packed = pack_product(root, ending, below="some/folder/")
        shutil.rmtree(root)
        root = packed
    with open_product(found(root)) as product:
        roles = tuple(planes)
        np.testing.assert_array_equal(product.read(roles, 0, HEIGHT), np.stack([planes[role] for role in roles]))
        np.testing.assert_array_equal(product.read(("B7",), 13, 29)[0], planes["B7"][13:29])
        assert (product.height, product.width, product.crs) == (HEIGHT, WIDTH, "EPSG:32616")
        assert product.transform == tuple(TRANSFORM)[:6]
        metadata = product.metadata
    assert metadata.sun_elevation == SUN_ELEVATION
    assert metadata.reflectance["B7"] == (2e-5, -0.1) and "B10" not in metadata.reflectance
    if product_id == COLLECTION_2:
        assert (metadata.spacecraft, metadata.path, metadata.row) == ("LANDSAT_9", 204, 33)
    else:
        assert metadata.acquired == (date(2020, 9, 14) if product_id == COLLECTION_1 else date(2014, 9, 14))


@pytest.mark.parametrize(
    ("product_id", "scene"),
    [
        (BEFORE_COLLECTIONS, "LC08_L1TP_193029_20140914_20140914_01_T1"),
        ("LO81930292016366LGN00", "LO08_L1TP_193029_20161231_20161231_01_T1"),
        (COLLECTION_1, COLLECTION_1),
        ("LC09_L1GT_099069_20200914_20200920_02_T2", "LC09_L1GT_099069_20200914_20200920_02_T2"),
    ],
)
def test_patches_bear_the_names_of_the_data_set(product_id: str, scene: str) -> None:
    assert ProductId.parse(product_id).scene.scene == scene


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LC08_L2SP_193029_20200914_20200920_02_T1", ["L2SP", "LC08_L1TP_193029_20200914_20200920_02_T1"]),
        ("LC09_L2SR_193029_20220914_20220920_02_T1", ["L2SR", "level-1"]),
        ("LE07_L1TP_193029_20200914_20200920_01_T1", ["Landsat 7", "Landsat 8 or 9"]),
        ("LE71930292014257ASN00", ["Landsat 7"]),
        ("LC08_L1TP_193029_20200914_20200920_03_T1", ["collection 03"]),
        ("LC08_L1TP_193029_20200931_20200920_01_T1", ["date"]),
        ("LC81930292014366LGN00", ["date"]),
        ("holiday", ["'HOLIDAY'", "name it was downloaded under"]),
    ],
)
def test_other_products_are_refused_by_name(tmp_path: Path, name: str, words: list[str]) -> None:
    (tmp_path / f"{name}.tar").touch()
    folder = tmp_path / "unpacked"
    folder.mkdir()
    (folder / f"{name}_SR_B1.TIF").touch()
    products, problems = find_products(tmp_path)
    assert not products and len(problems) == 2
    for problem in problems:
        assert all(word in problem for word in words) and str(tmp_path) in problem


def test_level_2_in_a_level_1_name_is_refused_by_its_mtl(tmp_path: Path) -> None:
    product = write_product(tmp_path, COLLECTION_2, seeded_planes(COLLECTION_2, 1, 8, 8))
    mtl = product / f"{COLLECTION_2}_MTL.txt"
    mtl.write_text(mtl.read_text().replace('PROCESSING_LEVEL = "L1TP"', 'PROCESSING_LEVEL = "L2SP"'))
    (problem,) = problems_of(product)
    assert "MTL.txt" in problem and "L2SP" in problem and "level-1" in problem


def test_products_are_found_wherever_they_lie(tmp_path: Path) -> None:
    for product_id in (BEFORE_COLLECTIONS, COLLECTION_1):  # two in one folder that is called anything
        product = write_product(tmp_path / "unpacked", product_id, seeded_planes(product_id, 1, 8, 8))
        for file in product.iterdir():
            file.rename(product.parent / file.name)
        product.rmdir()
    packed = write_product(tmp_path / "deep" / "below", COLLECTION_2, seeded_planes(COLLECTION_2, 1, 8, 8))
    pack_product(packed, ".tar")
    shutil.rmtree(packed)
    (tmp_path / "deep" / "readme.txt").touch()
    products, problems = find_products(tmp_path)
    assert not problems
    assert [product.id.text for product in products] == [COLLECTION_1, BEFORE_COLLECTIONS, COLLECTION_2]
    for product in products:
        with open_product(pickle.loads(pickle.dumps(product))) as opened:  # noqa: S301
            np.testing.assert_array_equal(opened.read(("B1",), 0, 8)[0], seeded_planes(product.id.text, 1, 8, 8)["B1"])


def test_links_are_followed_and_archives_of_other_kinds_named(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "root"
    product = write_product(store, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    (root / "._junk").mkdir(parents=True)
    (root / "linked").symlink_to(product)
    (root / "loop").symlink_to(root)
    (root / f"{COLLECTION_2}.zip").touch()
    (root / f"._{COLLECTION_2}_B1.TIF").touch()
    (linked,), (problem,) = find_products(root)
    assert (
        problem == f"{root / COLLECTION_2}.zip: is an archive that isn't read; unpack it, or pack the product as .tar"
    )
    with open_product(linked) as opened:
        np.testing.assert_array_equal(opened.read(("B1",), 0, 8)[0], seeded_planes(COLLECTION_1, 1, 8, 8)["B1"])
    (product / f"{COLLECTION_1}_B7.TIF").unlink()
    (product / f"{COLLECTION_1}_B7.TIF").symlink_to(tmp_path / "gone.TIF")
    assert linked.raw_input()
    assert any("B7.TIF: is a link to nothing" in line for line in problems_of(root / "linked"))
    (root / "linked").unlink()
    with pytest.raises(FileNotFoundError, match=rf"holds no level-1 product.*\n.*{COLLECTION_2}.zip: is an archive"):
        find_products(root)


@pytest.mark.parametrize(("packed", "named"), [(".tar.gz", ".tar"), (".tar", ".tar.gz"), (".tar.bz2", ".tar")])
def test_what_a_tar_holds_decides_and_not_its_ending(tmp_path: Path, packed: str, named: str) -> None:
    planes = seeded_planes(COLLECTION_1, 1, 8, 8)
    tar = pack_product(write_product(tmp_path / "x", COLLECTION_1, planes), packed)
    renamed = tar.rename(tmp_path / f"{COLLECTION_1}{named}")
    with open_product(found(renamed)) as opened:
        np.testing.assert_array_equal(opened.read(("B7",), 0, 8)[0], planes["B7"])


def test_one_scene_twice_is_told(tmp_path: Path) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    pack_product(product, ".tar")
    products, (problem,) = find_products(tmp_path)
    assert len(products) == 1 and str(product) in problem and f"{COLLECTION_1}.tar" in problem


def test_nothing_there_is_told(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=root.name):
            find_products(root)


def test_raw_input_changes_with_the_files(tmp_path: Path) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    before = found(product).raw_input()
    assert len(before) == len(FILE_BANDS) + 2
    write_product(tmp_path, COLLECTION_1, {"B7": seeded_planes(COLLECTION_1, 1, 9, 9)["B7"]})
    assert found(product).raw_input() != before
    tar = pack_product(product, ".tar")
    assert [name for name, _, _ in found(tar).raw_input()] == [tar.name]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 1, HEIGHT, WIDTH)
    product = write_product(tmp_path, COLLECTION_1, planes)

    def band(name: str) -> Path:
        return product / f"{COLLECTION_1}_{name}.TIF"

    band("B2").unlink()
    band("B3").write_bytes(b"no raster")
    write_product(tmp_path, COLLECTION_1, {"B4": planes["B4"][:-1]})
    write_product(
        tmp_path, COLLECTION_1, {"B5": planes["B5"]}, transform=rasterio.Affine(30, 0, 452_490, 0, -30, 3_408_645)
    )
    write_product(tmp_path, COLLECTION_1, {"B6": planes["B6"]}, crs="EPSG:32617")
    write_product(tmp_path, COLLECTION_1, {"B7": planes["B7"].astype(np.uint8)})
    write_product(tmp_path, COLLECTION_1, {"BQA": planes["BQA"][:, 1:]})
    mtl = product / f"{COLLECTION_1}_MTL.txt"
    lines = [
        line
        for line in mtl.read_text().splitlines()
        if "SUN_ELEVATION" not in line and "REFLECTANCE_ADD_BAND_1 " not in line
    ]
    mtl.write_text("\n".join(lines).replace("REFLECTANCE_MULT_BAND_2 = 2.0000E-05", "REFLECTANCE_MULT_BAND_2 = 2x-05"))
    problems = problems_of(product)
    expected = {
        "_B2.TIF": ["lacks", "fetch", "dataset.labels that need no B2"],
        "_B3.TIF": ["can't be read", "fetch"],
        "_B4.TIF": ["another grid", f"{HEIGHT - 1} x {WIDTH} instead of {HEIGHT} x {WIDTH}"],
        "_B5.TIF": ["another grid", "geotransform"],
        "_B6.TIF": ["another grid", "EPSG:32617 instead of EPSG:32616"],
        "_B7.TIF": ["uint8", "fetch"],
        "_BQA.TIF": ["another grid", f"{HEIGHT} x {WIDTH - 1}"],
        "MTL.txt: lacks": ["SUN_ELEVATION", "REFLECTANCE_ADD_BAND_1", "fetch"],
        "MTL.txt: REFLECTANCE": ["REFLECTANCE_MULT_BAND_2", "2x-05", "fetch"],
    }
    for file, words in expected.items():
        (problem,) = (problem for problem in problems if file in problem)
        assert all(word in problem for word in words), problem
    assert len(problems) == len(expected)


def test_bands_that_nobody_wants_may_be_missing(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 1, 8, 8)
    product = write_product(tmp_path, COLLECTION_1, {name: planes[name] for name in ("B1", "B7", "B6", "B2")})
    with open_product(found(product), ("B7", "B6", "B2")) as opened:
        (strip,) = strips(opened, ("B7", "B6", "B2"), patch_size=8)
        (patch,) = strip.patches(("B7", "B6", "B2"))
    np.testing.assert_array_equal(patch.bands, np.stack([planes[name] for name in ("B7", "B6", "B2")]))
    assert patch.quality is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SUN_ELEVATION = 52.25", "SUN_ELEVATION = -12.5", "-12.5 degrees"),
        ("SUN_ELEVATION = 52.25", "SUN_ELEVATION =", "lacks SUN_ELEVATION:"),
        ("SUN_ELEVATION = 52.25", "SUN_ELEVATION = NaN", "no number"),
        ("WRS_ROW = 069", "WRS_ROW = 070", "another product"),
        ("DATE_ACQUIRED = 2020-09-14", "DATE_ACQUIRED = yesterday", "no date"),
        ("REFLECTANCE_ADD_BAND_3", "SOMETHING_ELSE", "lacks REFLECTANCE_ADD_BAND_3:"),
    ],
)
def test_an_mtl_that_can_not_be_right_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    mtl = product / f"{COLLECTION_1}_MTL.txt"
    assert old in mtl.read_text()
    mtl.write_text(mtl.read_text().replace(old, new))
    (problem,) = problems_of(product)
    assert str(mtl) in problem and said in problem


def test_an_mtl_may_end_its_lines_in_any_way(tmp_path: Path) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    with open_product(found(product)) as opened:
        expected = opened.metadata
    mtl = product / f"{COLLECTION_1}_MTL.txt"
    mtl.write_bytes(mtl.read_bytes().replace(b"\n", b" \r\n"))
    with open_product(found(product)) as opened:
        assert opened.metadata == expected


def test_an_mtl_that_is_missing_or_cut_short_is_told(tmp_path: Path) -> None:
    product = write_product(tmp_path, COLLECTION_2, seeded_planes(COLLECTION_2, 1, 8, 8), mtl="json")
    mtl = product / f"{COLLECTION_2}_MTL.json"
    mtl.write_text(mtl.read_text()[:-40])
    (problem,) = problems_of(product)
    assert str(mtl) in problem and "cut short" in problem
    mtl.unlink()
    (problem,) = problems_of(product)
    assert f"{COLLECTION_2}_MTL.txt" in problem and "fetch" in problem


def _truncated(tar: Path) -> None:
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])


def _scribbled(tar: Path) -> None:
    content = bytearray(tar.read_bytes())
    middle = len(content) // 2 // 512 * 512
    content[middle : middle + 2048] = b"x" * 2048
    tar.write_bytes(content)


def _header_lost(tar: Path) -> None:
    with tarfile.open(tar) as archive:
        header = archive.getmembers()[4].offset
    content = bytearray(tar.read_bytes())
    content[header : header + 512] = b"x" * 512
    tar.write_bytes(content)


@pytest.mark.parametrize(
    ("ending", "spoil"),
    [
        (".tar", _truncated),
        (".tar", _header_lost),
        (".tar", lambda tar: tar.write_bytes(b"")),
        (".tar", lambda tar: tar.write_bytes(b"no tar" * 1000)),
        (".tar.gz", _truncated),
        (".tar.gz", _scribbled),
        (".tar.gz", lambda tar: tar.write_bytes(b"no tar" * 1000)),
    ],
)
def test_a_damaged_tar_is_told(tmp_path: Path, ending: str, spoil: Callable[[Path], None]) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, HEIGHT, WIDTH))
    tar = pack_product(product, ending)
    shutil.rmtree(product)
    spoil(tar)
    (problem,) = problems_of(tar)
    assert str(tar) in problem and "damaged" in problem and "fetch it again" in problem


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_names_in_a_tar_lead_nowhere(tmp_path: Path, ending: str) -> None:
    planes = seeded_planes(COLLECTION_1, 1, 8, 8)
    product = write_product(tmp_path / "a" / "b", COLLECTION_1, planes)
    tar = pack_product(product, ending, below="../../")
    shutil.rmtree(product)
    before = sorted(tmp_path.rglob("*"))
    with open_product(found(tar), scratch=_made(tmp_path / "scratch")) as opened:
        np.testing.assert_array_equal(opened.read(("B9",), 0, 8)[0], planes["B9"])
        unpacked = {path.name for path in (tmp_path / "scratch").rglob("*") if path.is_file()}
    assert unpacked <= {*FILE_BANDS, "BQA", "MTL.TXT"} and ("B9" in unpacked) == (ending == ".tar.gz")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "scratch"])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_links_and_doubles_in_a_tar_are_refused(tmp_path: Path, ending: str) -> None:
    product = write_product(tmp_path, COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8))
    secret = tmp_path / "secret.tif"
    shutil.move(product / f"{COLLECTION_1}_B4.TIF", secret)
    tar = product.with_name(f"{COLLECTION_1}{ending}")
    with tarfile.open(tar, "w:gz" if ending == ".tar.gz" else "w") as archive:
        for file in sorted(product.iterdir()):
            archive.add(file, file.name)
        link = tarfile.TarInfo(f"{COLLECTION_1}_B4.TIF")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
        double = tarfile.TarInfo(f"other/{COLLECTION_1}_B5.TIF")
        double.size = 4
        archive.addfile(double, io.BytesIO(b"evil"))
    shutil.rmtree(product)
    problems = problems_of(tar)
    for file, said in (("_B4.TIF", "link"), ("_B5.TIF", "twice")):
        assert any(file in problem and said in problem and "fetch" in problem for problem in problems)


def test_a_band_that_is_damaged_inside_is_told_while_cutting(tmp_path: Path) -> None:
    planes = seeded_planes(COLLECTION_1, 1, 64, 64)
    product = write_product(tmp_path, COLLECTION_1, planes, compress="deflate", blockysize=16)
    for name in ("B5", "B10"):
        path = product / f"{COLLECTION_1}_{name}.TIF"
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
        path.write_bytes(content)
    with open_product(found(product)) as opened, pytest.raises(ProductError) as error:
        list(strips(opened, FILE_BANDS, patch_size=64))
    assert len(error.value.problems) == 2
    for name, problem in zip(("B5", "B10"), error.value.problems, strict=True):
        assert f"{COLLECTION_1}_{name}.TIF" in problem and "damaged" in problem and "fetch" in problem
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems  # noqa: S301


def test_a_full_disk_is_not_taken_for_a_damaged_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = pack_product(write_product(tmp_path / "x", COLLECTION_1, seeded_planes(COLLECTION_1, 1, 8, 8)), ".tar.gz")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    scratch = _made(tmp_path / "scratch")
    with pytest.raises(OSError, match="No space left") as error, open_product(found(tar), scratch=scratch):
        pass
    assert not isinstance(error.value, ProductError) and not list(scratch.iterdir())
