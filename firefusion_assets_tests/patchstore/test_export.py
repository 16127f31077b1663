"""What is exported is read by a loader that knows the thesis' layout and nothing of this project."""

import csv
import shutil
from collections import namedtuple
from itertools import product
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt
import pytest

from firefusion_assets.patchstore import Patch, Patches, PatchWriter, StoreMeta
from firefusion_assets.patchstore.export import export
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import LoadDefinitions, lineage_of, materialize, write_study

BANDS = ("B2", "B5", "B6", "B7")


def read_layout(folder: Path, part: str) -> list[tuple[str, int, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Read one part as the thesis' training script would: stem, fire pixels, image and mask."""
    samples = []
    with (folder / f"{part}.csv").open(newline="") as file, lmdb.open(str(folder), readonly=True, lock=False) as env:
        for stem, fire_pixels in csv.reader(file):
            with env.begin() as transaction:
                image = np.frombuffer(transaction.get(stem.encode()), np.float32).reshape(3, 256, 256)
                mask = np.frombuffer(transaction.get(f"{stem}_mask".encode()), np.float32).reshape(1, 256, 256)
            samples.append((stem, int(fire_pixels), image, mask))
    return samples


def patch_of(seed: int, bands: tuple[str, ...] = BANDS, size: int = 256) -> Patch:
    rng = np.random.default_rng(seed)
    ignore = np.zeros((size, size), bool)
    ignore[: seed * 3] = True
    dn = rng.integers(0, 65536, (len(bands), size, size), dtype=np.uint16)
    return Patch(dn, rng.random((size, size)) < 0.01, ignore)


def store(path: Path, patches: dict[str, Patch], bands: tuple[str, ...] = BANDS, size: int = 256) -> Path:
    with PatchWriter(path, StoreMeta(study="t", bands=bands, patch_size=size)) as writer:
        for patch_id, patch in patches.items():
            writer.add_patch(patch_id, patch)
    return path


def test_a_loader_of_the_layout_reads_patches_of_base_and_overlay(tmp_path: Path) -> None:
    written = {f"LC08_L1TP_{i}": patch_of(i) for i in range(4)}
    base = store(tmp_path / "base", dict(list(written.items())[:3]))
    overlay = store(tmp_path / "overlay", dict(list(written.items())[3:]))
    patches = Patches(base, [overlay])
    train, val, test = ["LC08_L1TP_2", "LC08_L1TP_3"], ["LC08_L1TP_0"], ["LC08_L1TP_1"]
    export(patches, {"train": train, "val": val, "test": test}, tmp_path / "out")
    for part, ids in (("train", train), ("val", val), ("test", test)):
        samples = read_layout(tmp_path / "out", part)
        assert [stem for stem, *_ in samples] == ids
        for stem, fire_pixels, image, mask in samples:
            patch = written[stem]
            for band, row in ((image[0], 3), (image[1], 2), (image[2], 0)):
                np.testing.assert_array_equal(band, patch.bands[row].astype(np.float32) / 65535)
            np.testing.assert_array_equal(mask[0] == 1, patch.label & ~patch.ignore)
            assert set(np.unique(mask)) == {0.0, 1.0}
            assert fire_pixels == mask.sum()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "data.mdb", "test.csv", "train.csv", "val.csv",
    ]  # fmt: skip


def test_an_empty_part_is_an_empty_file(tmp_path: Path) -> None:
    base = store(tmp_path / "base", {"a": patch_of(0)})
    export(Patches(base), {"train": ["a"], "val": [], "test": []}, tmp_path / "out")
    assert read_layout(tmp_path / "out", "test") == []
    assert len(read_layout(tmp_path / "out", "train")) == 1


def test_what_the_layout_cannot_hold_is_told_at_once(tmp_path: Path) -> None:
    base = store(tmp_path / "base", {"a": patch_of(0, ("B6", "B5"), 32)}, ("B6", "B5"), 32)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(ValueError, match="B7.*B2.*patch_size is 32.*not empty"):
        export(Patches(base), {"train": ["a"]}, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = store(tmp_path / "base", {"a": patch_of(0)})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1_000_000))
    with pytest.raises(OSError, match="takes 0.0 GB, 0.0 GB are free"):
        export(Patches(base), {"train": ["a"]}, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


_STUDY = """
name: exported
dataset: {source: simulated, scenes: 6, patches_per_scene: 2, patch_size: 256, fire_share: 0.5, seed: 3}
training: {bands: [B7, B6, B2]}
"""
_CONFIG = """
generator: {engine: copy-paste}
sampling: {images: 2, batch_size: 2}
screening: {detectors: [murphy], min_detected: 0}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("folds", "replicates"), [(1, 1), (3, 1), (1, 2)])
def test_the_command_exports_a_config_of_a_study(
    folds: int, replicates: int, tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    settings = f"split: {{folds: {folds}}}\nreplicates: {{count: {replicates}}}\n"
    study = write_study(tmp_path / "study", _STUDY + settings, {"pasted": _CONFIG})
    defs = load_definitions(study)
    refusal = firefusion_refuses("export", "pasted", tmp_path / "early", study=study)
    assert refusal.endswith("has not been made; make it first: firefusion run pasted\n")
    assert materialize(defs, "pasted", to="augmented_lmdb").success
    firefusion("export", "pasted", tmp_path / "out", study=study)
    lineage = lineage_of(study)
    real = set(Patches(lineage.find("landsat_patches", "_").path / "base.lmdb").base_ids)
    for fold, number in product(range(folds), range(replicates)):
        several = folds > 1 or replicates > 1
        folder = tmp_path / "out" / f"fold-{fold}" / f"replicate-{number}" if several else tmp_path / "out"
        parts = {part: [stem for stem, *_ in read_layout(folder, part)] for part in ("train", "val", "test")}
        assert set(parts["train"][:-2]) | set(parts["val"]) | set(parts["test"]) == real
        assert len(set(parts["train"][-2:]) - real) == 2
    assert "not empty" in firefusion_refuses("export", "pasted", tmp_path / "out", study=study)
