"""Patches are read ahead by several threads: what comes out doesn't depend on them, and never much is held."""

import os
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.ingest import base_store as ingest_module
from firefusion_assets.ingest import rasters
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.ingest.sources.patch_inputs import BadInputError
from firefusion_assets.ingest.sources.raster_files import RasterFile
from firefusion_assets.patchstore import PatchWriter
from firefusion_assets.study.models import Study
from firefusion_assets_tests.builders.rasters import SCENES, write_activefire, write_raster

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def zipped(folder: Path) -> Path:
    """Pack images and masks as the data set comes, members compressed in turns, and return the zips' folder."""
    packed = folder.with_name(folder.name + "-zipped")
    packed.mkdir()
    for name in ("images", "masks"):
        with zipfile.ZipFile(packed / name, "w") as archive:
            for number, file in enumerate(sorted((folder / name).iterdir())):
                archive.write(file, file.name, _COMPRESSIONS[number % len(_COMPRESSIONS)])
    return packed


def run(folder: Path, out: Path, on_bad_input: str = "fail") -> dict[str, Any]:
    dataset = {"source": "activefire", "images": "images", "masks": "masks", "patch_size": 16}
    study = Study.model_validate(
        {"name": "t", "dataset": dataset | {"on_bad_input": on_bad_input}, "training": {"bands": ["B7"]}}
    )
    out.mkdir()
    return dict(ingest(study, list_source(study, folder, ArtifactStore(folder / "artifacts"), print), out, print))


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_cores(n: int) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n)))

    return set_cores


@pytest.fixture
def slow_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read after every third patch is read before it."""
    read = ingest_module.read_files

    def late(item: Any, expected: Any) -> Any:
        if int(item.patch_id[-5:]) % 3 == 1:
            time.sleep(0.01)
        return read(item, expected)

    monkeypatch.setattr(ingest_module, "read_files", late)


@pytest.mark.usefixtures("slow_first")
def test_every_byte_is_the_same_with_any_number_of_threads(tmp_path: Path, cores: Any) -> None:
    folder = write_activefire(tmp_path / "data", n=6)
    contents = []
    for n in (1, 5):
        cores(n)
        out = tmp_path / f"out-{n}"
        assert run(folder, out)["n_patches"] == 36
        files = [path for path in sorted(out.rglob("*")) if path.is_file()]
        contents.append([(path.relative_to(out), path.read_bytes()) for path in files])
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("slow_first")
@pytest.mark.parametrize("pack", [False, True])
def test_bad_files_among_many_are_named_in_the_order_of_the_inputs(tmp_path: Path, cores: Any, pack: bool) -> None:
    cores(4)
    folder = write_activefire(tmp_path / "data", n=6)
    images = sorted((folder / "images").iterdir())
    bad = [images[i] for i in (0, 7, 8, 13, 35)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:150])
    if pack:
        folder = zipped(folder)
    with pytest.raises(BadInputError) as error:
        run(folder, tmp_path / "out")
    assert [Path(problem.partition(":")[0]).name for problem in error.value.problems] == [path.name for path in bad]
    assert run(folder, tmp_path / "skipping", on_bad_input="skip")["n_patches"] == 36 - len(bad)


def test_damage_inside_a_zip_is_named_whatever_its_compression(tmp_path: Path, cores: Any) -> None:
    cores(3)
    folder = zipped(write_activefire(tmp_path / "data", n=4))
    with zipfile.ZipFile(folder / "images") as archive:
        members = archive.infolist()
    content = bytearray((folder / "images").read_bytes())
    bad = members[2:6]  # stored and compressed ones
    for info in bad:
        middle = info.header_offset + 200 + info.compress_size // 2
        content[middle : middle + 40] = bytes(40)
    (folder / "images").write_bytes(content)
    with pytest.raises(BadInputError) as error:
        run(folder, tmp_path / "out")
    assert [Path(problem.partition(":")[0]).name for problem in error.value.problems] == [it.filename for it in bad]


def test_the_list_of_bad_files_is_the_same_each_time(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", n=2)
    for image in sorted((folder / "images").iterdir())[::5]:
        image.write_bytes(image.read_bytes()[:600])
    lists = []
    for name in ("first", "again"):
        run(zipped(folder) if name == "first" else folder.with_name("data-zipped"), tmp_path / name, "skip")
        lists.append((tmp_path / name / "bad_files.csv").read_text())
    assert lists[0] == lists[1] and lists[0].count(".tif: can't be read") == 3 and "vsimem" not in lists[0]


def test_a_file_of_another_size_is_told_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_activefire(tmp_path / "data", SCENES[:1], n=2)
    large = folder / "images" / f"{SCENES[0]}_p00002.tif"
    write_raster(large, np.ones((10, 300, 300), np.uint16))
    shapes = []

    def noted(array: np.ndarray, *others: Any) -> rasters.Raster:
        shapes.append(array.shape)
        return raster(array, *others)

    raster = rasters.Raster
    monkeypatch.setattr(rasters, "Raster", noted)
    with pytest.raises(BadInputError, match=r"p00002\.tif: is 300 x 300 px with 10 bands, expected 16 x 16 px"):
        run(folder, tmp_path / "out")
    assert shapes and all(shape[1:] == (16, 16) for shape in shapes)


def test_the_directory_of_a_zip_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = zipped(write_activefire(tmp_path / "data", n=6))
    opened, open_zip = [], zipfile.ZipFile.__init__

    def counted(self: zipfile.ZipFile, file: Path, *arguments: Any, **options: Any) -> None:
        opened.append(file)
        open_zip(self, file, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "__init__", counted)
    assert run(folder, tmp_path / "out")["n_patches"] == 36
    assert sorted(path.name for path in opened) == ["images", "masks"]


def test_many_threads_read_one_zip_at_once(tmp_path: Path) -> None:
    folder = write_activefire(tmp_path / "data", n=6)
    packed = zipped(folder)
    dataset = {"source": "activefire", "images": "images", "masks": "masks", "patch_size": 16}
    study = Study.model_validate({"name": "t", "dataset": dataset, "training": {"bands": ["B7"]}})
    source = list_source(study, packed, ArtifactStore(tmp_path / "artifacts"), print)

    def content(file: RasterFile) -> Any:
        with file.open() as raster:
            return raster.read()

    files = [item.image for item in source.inputs] * 20  # type: ignore[union-attr]
    with ThreadPoolExecutor(8) as pool:
        arrays = list(pool.map(content, files))
    assert len({array.tobytes() for array in arrays}) == 36
    for file, array in zip(files, arrays, strict=True):
        np.testing.assert_array_equal(array, content(RasterFile(folder / "images", file.name, 0, 0)))


def test_few_patches_are_read_before_the_first_is_written(
    tmp_path: Path, cores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(2)
    read, add = ingest_module.read_files, PatchWriter.add_patch
    n_read, n_written, ahead_of_writing = 0, 0, []
    lock = threading.Lock()

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal n_read
        with lock:
            n_read += 1
        return read(*arguments, **options)

    def slow(self: PatchWriter, *arguments: Any) -> None:
        nonlocal n_written
        time.sleep(0.005)  # readers are never what is waited for
        ahead_of_writing.append(n_read - n_written)
        n_written += 1
        add(self, *arguments)

    monkeypatch.setattr(ingest_module, "read_files", counted)
    monkeypatch.setattr(PatchWriter, "add_patch", slow)
    run(write_activefire(tmp_path / "data", n=10), tmp_path / "out")
    assert n_written == 60
    assert 1 < max(ahead_of_writing) <= 2 * 2 + 1


@pytest.mark.parametrize("trouble", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_ends_it_at_once(
    tmp_path: Path, cores: Any, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    cores(2)
    folder = write_activefire(tmp_path / "data", n=10)
    read, n_read = ingest_module.read_files, 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal n_read
        n_read += 1
        return read(*arguments, **options)

    def fail(*_: Any) -> None:
        raise trouble

    monkeypatch.setattr(ingest_module, "read_files", counted)
    monkeypatch.setattr(PatchWriter, "add_patch", fail)
    before = threading.active_count()
    with pytest.raises(type(trouble)):
        run(folder, tmp_path / "out")
    assert threading.active_count() == before and n_read <= 5
