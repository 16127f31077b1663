"""CLIP similarity equals a plain loop over pictures, finds a copy, and says that copies score high."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig

from firefusion_assets.core.pictures import Composite
from firefusion_assets.inpainting import similarity
from firefusion_assets.inpainting.similarity import (
    CROP_PADDING,
    ClipEncoder,
    ClipError,
    clip_similarity,
    masked_crop,
)
from firefusion_assets.patchstore import Patches
from firefusion_assets_tests.builders.commands import firefusion, firefusion_refuses
from firefusion_assets_tests.builders.studies import (
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

TEXT = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of random weights that sees 32 x 32 px, saved as `from_pretrained` reads it."""
    folder = tmp_path_factory.mktemp("clip")
    # Larger weights than usual at the start of a training, so that different pictures differ.
    config = CLIPConfig(
        text_config=CLIPTextConfig(**TEXT),
        vision_config=CLIPVisionConfig(**VISION, image_size=32, patch_size=8, initializer_factor=4.0),
        projection_dim=12,
        initializer_factor=4.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    return folder


def pictures(count: int, seed: int) -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    sides = rng.integers(9, 50, count)
    return [(f"p{seed}-{i}", rng.integers(0, 256, (side, side, 3), np.uint8)) for i, side in enumerate(sides)]


def plain_cosines(model: Path, painted: list[np.ndarray], real: list[np.ndarray]) -> np.ndarray:
    """One picture at a time through the whole model, one cosine at a time."""
    clip, processor = CLIPModel.from_pretrained(model).eval(), CLIPImageProcessor.from_pretrained(model)

    def embedding(picture: np.ndarray) -> np.ndarray:
        pixels = processor(images=Image.fromarray(picture), return_tensors="pt")
        with torch.no_grad():
            features = clip.get_image_features(**pixels)
        # A tensor up to transformers 4.
        return getattr(features, "pooler_output", features)[0].numpy().astype(np.float64)

    reals = [embedding(b) for b in real]
    return np.array(
        [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in reals] for a in (embedding(picture) for picture in painted)]
    )


def test_equals_a_loop_over_single_pictures(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_BATCH", 3)
    painted, real = pictures(5, seed=1), pictures(7, seed=2)
    table = clip_similarity(painted, real, ClipEncoder(str(model)))
    cosines = plain_cosines(model, [picture for _, picture in painted], [picture for _, picture in real])
    assert np.ptp(cosines) > 0.01
    assert list(table["synthetic_id"]) == [name for name, _ in painted]
    np.testing.assert_allclose(table["mean_cosine"], cosines.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(table["max_cosine"], cosines.max(axis=1), atol=1e-5)
    assert list(table["max_patch"]) == [real[place][0] for place in cosines.argmax(axis=1)]


def test_a_copy_has_cosine_1_and_is_nearest_to_its_original(model: Path) -> None:
    real = pictures(6, seed=3)
    copies = [(f"copy-of-{name}", picture.copy()) for name, picture in reversed(real)]
    table = clip_similarity(copies, real, ClipEncoder(str(model)))
    np.testing.assert_allclose(table["max_cosine"], 1, atol=1e-5)
    assert list("copy-of-" + table["max_patch"]) == list(table["synthetic_id"])
    assert (table["mean_cosine"] < 0.999).all()


def test_nothing_painted_gives_an_empty_table(model: Path) -> None:
    table = clip_similarity([], pictures(2, seed=4), ClipEncoder(str(model)))
    assert table.empty and list(table) == ["synthetic_id", "mean_cosine", "max_cosine", "max_patch"]


@given(seed=st.integers(0, 2**31), height=st.integers(1, 12), width=st.integers(1, 12))
def test_a_masked_crop_holds_the_fire_and_black_around_it(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    composite = Composite(("B2", "B6", "B7"), ("B7", "B6", "B2"))
    bands = rng.integers(20_000, 60_000, (3, 24, 24)).astype(np.uint16)
    label = np.zeros((24, 24), bool)
    y, x = rng.integers(0, 24 - height + 1), rng.integers(0, 24 - width + 1)
    label[y : y + height, x : x + width] = rng.random((height, width)) < 0.5
    label[y, x] = label[y + height - 1, x + width - 1] = True  # the box is as large as it was drawn
    crop = masked_crop(bands, label, composite)
    side = max(height, width) + 2 * CROP_PADDING
    assert crop.shape == (side, side, 3)
    lit = np.argwhere(crop.any(axis=2))  # no pixel of this composite is black by itself
    np.testing.assert_array_equal(lit - lit[0], np.argwhere(label) - np.argwhere(label)[0])
    np.testing.assert_array_equal(crop[crop.any(axis=2)], composite(bands)[label])
    assert lit.min() >= CROP_PADDING and lit.max() < side - CROP_PADDING


def test_what_lies_outside_the_label_does_not_count() -> None:
    rng = np.random.default_rng(8)
    bands = rng.integers(8000, 30_000, (3, 24, 24)).astype(np.uint16)
    label = rng.random((24, 24)) < 0.1
    other = np.where(label, bands, rng.integers(8000, 30_000, (3, 24, 24))).astype(np.uint16)
    composite = Composite(("B2", "B6", "B7"), ("B7", "B6", "B2"))
    first, second = (masked_crop(each, label, composite) for each in (bands, other))
    np.testing.assert_array_equal(first, second)


def test_a_model_that_cannot_be_read_is_told_with_the_remedy(model: Path, tmp_path: Path) -> None:
    without_weights, pickled = tmp_path / "without-weights", tmp_path / "pickled"
    for folder in (without_weights, pickled):
        CLIPImageProcessor.from_pretrained(model).save_pretrained(folder)
        CLIPConfig.from_pretrained(model).save_pretrained(folder)
    torch.save(CLIPModel.from_pretrained(model).state_dict(), pickled / "pytorch_model.bin")
    for folder in (tmp_path / "nowhere", without_weights, pickled):
        with pytest.raises(ClipError, match="no CLIP model can be read there") as error:
            ClipEncoder(str(folder))
        assert str(folder) in str(error.value)
        assert "hub id" in str(error.value) and "local folder" in str(error.value)


def test_a_model_without_eyes_is_refused(model: Path, tmp_path: Path) -> None:
    CLIPTextModel(CLIPTextConfig(**TEXT)).save_pretrained(tmp_path)
    CLIPConfig.from_pretrained(model).save_pretrained(tmp_path)
    CLIPImageProcessor.from_pretrained(model).save_pretrained(tmp_path)
    with pytest.raises(ClipError, match="weights are missing"):
        ClipEncoder(str(tmp_path))


@pytest.mark.slow
def test_the_command_compares_with_train_fires_and_counts_copies(
    tmp_path: Path, model: Path, load_definitions: LoadDefinitions
) -> None:
    study = write_study(tmp_path / "study", TINY_STUDY)
    output = tmp_path / "alike.csv"
    defs = load_definitions(study)
    options = ["--model", model, "--output", output]
    for key, reason in (("copy-paste", "has not been made"), ("unknown", "there is no such augmentation config")):
        assert reason in firefusion_refuses("similarity", key, *options, study=study)
    for key in ("baseline", "copy-paste"):
        assert materialize(defs, key, to="augmented_lmdb").success
    refusal = firefusion_refuses("similarity", "baseline", *options, study=study)
    assert "baseline has no accepted synthetic patch" in refusal

    printed = firefusion("similarity", "copy-paste", *options, study=study)
    table = pd.read_csv(output)

    lineage = lineage_of(study)
    base = lineage.find("landsat_patches", "_").path / "base.lmdb"
    overlay = lineage.find("augmented_lmdb", "copy-paste").path / "overlay.lmdb"
    patches = Patches(base, [overlay], 0)
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    train = split.loc[(split["part"] == "train") & (split["fire_pixels"] > 0), "patch_id"].sort_values()
    plan = lineage.find("inpainting_masks", "copy-paste").path / "fold-0" / "replicate-0"
    labels = np.unpackbits(np.load(plan / "labels.npy"), axis=-1, count=32).astype(bool)
    row_of = {
        f"synthetic-0-{row:06d}": place for place, row in enumerate(pd.read_parquet(plan / "plan.parquet")["row"])
    }
    composite = Composite(patches.meta.bands, ("B7", "B6", "B2"))
    cosines = plain_cosines(
        model,
        [masked_crop(patches.read(name).bands, labels[row_of[name]], composite) for name in patches.added_ids],
        [masked_crop(patches.read(name).bands, patches.read(name).label, composite) for name in train],
    )
    assert sorted(table["synthetic_id"]) == sorted(patches.added_ids) and len(table) == 6
    table = table.set_index("synthetic_id").loc[patches.added_ids]
    np.testing.assert_allclose(table["mean_cosine"], cosines.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(table["max_cosine"], cosines.max(axis=1), atol=1e-5)
    assert list(table["max_patch"]) == list(train.iloc[cosines.argmax(axis=1)])

    copies = lineage.find("screened_images", "copy-paste").facts["n_copies"]
    assert f"Near-copies of a training fire: {copies} of 6" in printed
    assert "copies of training fires score highest" in printed
    assert f"{cosines.mean():.3f} ±" in printed and str(output) in printed
