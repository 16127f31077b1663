"""Evaluation gives one row a patch, over the pixels that count, in sorted order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from firefusion_assets.patchstore import LeakError, Patches, PatchPart
from firefusion_assets.segmentation.evaluation import evaluate, score_patches
from firefusion_assets.segmentation.metrics import PATCH_COLUMNS, summarise
from firefusion_assets.segmentation.trained import load_network, predict
from firefusion_assets.segmentation.training import train_unet
from firefusion_assets_tests.builders.squares import SIZE, square_job

TEST_IDS = ["p23", "p16", "p19", "p18", "p17", "p20", "p21", "p22"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PatchPart]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    job = square_job(folder, steps=30, validate_every=10)
    train_unet(job, folder / "work")
    return folder / "work", PatchPart(Patches(job.base), TEST_IDS)


def table(ids: list[str] = TEST_IDS) -> pd.DataFrame:
    frame = pd.DataFrame({"scene": [f"scene-{i[-1]}" for i in ids], "group": "193029", "pixel_area_m2": 900.0})
    return frame.set_index(pd.Index(ids, name="patch_id"))


def test_rows_against_the_predicted_masks(trained: tuple[Path, PatchPart]) -> None:
    folder, part = trained
    rows, packed = evaluate(folder, part, table(), 0.5, keep=True)
    masks = {name: np.unpackbits(mask, axis=-1, count=SIZE).view(np.bool_) for name, mask in packed.items()}
    assert list(rows["patch_id"]) == sorted(TEST_IDS)
    assert set(PATCH_COLUMNS) <= set(rows.columns)
    for row in rows.to_dict("records"):
        patch, mask = part.read(row["patch_id"]), masks[row["patch_id"]]
        assert mask.shape == (SIZE, SIZE)
        valid = ~patch.ignore
        assert row["tp"] == (mask & patch.label)[valid].sum()
        assert row["fp"] == (mask & ~patch.label)[valid].sum()
        assert row["fire_pixels"] == patch.label[valid].sum() == row["tp"] + row["fn"]
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == valid.sum()
        assert row["area_km2"] == pytest.approx(valid.sum() * 900 / 1e6)
        assert row["scene"] == f"scene-{row['patch_id'][-1]}"
    assert (rows.loc[rows["patch_id"] == "p19", "tn"] + rows.loc[rows["patch_id"] == "p19", "fp"]).item() == SIZE * 14
    assert summarise(rows)["n_fire_patches"] == 4
    assert (summarise(rows)["dice_micro"] or 0) > 0.8


def test_undefined_figures_are_missing(trained: tuple[Path, PatchPart]) -> None:
    _, part = trained
    patch = part.read("p17")
    rows = score_patches([("p17", patch, np.zeros((SIZE, SIZE), bool))], table())
    assert rows[["dice", "iou", "precision", "recall"]].isna().all(axis=None)
    assert rows["tn"].dtype == np.int64


def test_a_detector_is_scored_by_the_same_rows(trained: tuple[Path, PatchPart]) -> None:
    folder, part = trained
    rows, packed = evaluate(folder, part, table(), 0.5, keep=True)
    masks = {name: np.unpackbits(mask, axis=-1, count=SIZE).view(np.bool_) for name, mask in packed.items()}
    again = score_patches([(i, part.read(i), masks[i]) for i in TEST_IDS], table())
    pd.testing.assert_frame_equal(rows, again)


def test_masks_are_kept_if_they_are_wanted(trained: tuple[Path, PatchPart]) -> None:
    folder, part = trained
    assert set(evaluate(folder, part, table(), 0.5, keep=True)[1]) == set(part.ids)
    assert evaluate(folder, part, table(), 0.5)[1] == {}


def test_a_pixel_is_fire_from_the_threshold_on(trained: tuple[Path, PatchPart]) -> None:
    folder, part = trained
    network, record = load_network(folder)
    with torch.inference_mode():
        dn = torch.from_numpy(part.read("p16").bands[[2, 1, 0]][None])
        probability = torch.sigmoid(network(record.normalisation.scale(dn)))[0, 0].numpy()
    threshold = float(np.sort(probability, axis=None)[-10])
    ((_, _, mask),) = predict(network, record.normalisation, part, ["p16"], threshold)
    assert mask.sum() == 10


def test_empty_part_gives_empty_rows_with_columns(trained: tuple[Path, PatchPart]) -> None:
    folder, _ = trained
    rows, _ = evaluate(folder, PatchPart(Patches(folder.parent / "base"), []), table(), 0.5)
    assert len(rows) == 0
    assert summarise(rows)["dice_micro"] is None


def test_ids_outside_the_part_are_not_read(trained: tuple[Path, PatchPart]) -> None:
    folder, part = trained
    network, record = load_network(folder)
    with pytest.raises(LeakError, match="'p00'"):
        list(predict(network, record.normalisation, part, ["p00"], 0.5))


def test_what_is_missing_is_named(trained: tuple[Path, PatchPart], tmp_path: Path) -> None:
    folder, part = trained
    with pytest.raises(ValueError, match="lacks 1 patches, for example 'p23'"):
        evaluate(folder, part, table(TEST_IDS[1:]), 0.5)
    with pytest.raises(ValueError, match="lacks the columns pixel_area_m2"):
        evaluate(folder, part, table().drop(columns="pixel_area_m2"), 0.5)
    with pytest.raises(FileNotFoundError, match=r"holds no network\.json: the training there isn't finished"):
        evaluate(tmp_path, part, table(), 0.5)
