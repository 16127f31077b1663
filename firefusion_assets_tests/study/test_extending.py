"""A study that extends another takes over its settings, configs and patches, and nothing of its name."""

from pathlib import Path

import pytest

from firefusion_assets.study import StudyError, augmentation_keys, load_augmentation, load_study
from firefusion_assets.study.extending import data_folder
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    LoadDefinitions,
    lineage_of,
    materialize,
    write_study,
)

SCARCE = "name: scarce\nextends: ../base\nsplit: {train_fire_patches: 2}\n"


def two(folder: Path, study: str = SCARCE, **configs: str) -> tuple[Path, Path]:
    """Write a study and one that extends it."""
    base = write_study(folder / "base", TINY_STUDY + "split: {seed: 5}\ndescription: the base\n")
    (folder / "other" / "augmentations").mkdir(parents=True)
    (folder / "other" / "study.yaml").write_text(study)
    for key, text in configs.items():
        (folder / "other" / "augmentations" / f"{key}.yaml").write_text(text)
    return base, folder / "other"


def test_settings_are_laid_over_those_of_the_other_study(tmp_path: Path) -> None:
    base, scarce = two(tmp_path)
    study, other = load_study(scarce), load_study(base)
    assert (study.name, study.description) == ("scarce", ""), "who extends a study says what it asks itself"
    assert (study.split.train_fire_patches, study.split.seed) == (2, 5)
    assert study.dataset == other.dataset and study.training == other.training
    assert data_folder(scarce) == base and data_folder(base) == base


def test_another_source_starts_the_data_set_anew(tmp_path: Path) -> None:
    own = SCARCE + "dataset: {source: activefire, images: i, masks: m, sun_elevation: 50}\n"
    _, other = two(tmp_path, own)
    assert load_study(other).dataset.source == "activefire" and data_folder(other) == other


def test_configs_are_those_of_both_and_the_own_one_counts(tmp_path: Path) -> None:
    own = "extends: copy-paste\nsampling: {images: 9}"
    base, other = two(tmp_path, **{"copy-paste": own, "new": "extends: native\nsampling: {images: 3}"})
    assert augmentation_keys(other) == ["baseline", "copy-paste", "native", "new"]
    assert augmentation_keys(base) == sorted(TINY_CONFIGS)
    study = load_study(other)
    images = {key: load_augmentation(other, key, study).sampling.images for key in augmentation_keys(other)}
    assert images == {"baseline": 0, "copy-paste": 9, "native": 9, "new": 3}
    assert load_augmentation(other, "copy-paste", study).sampling.batch_size == 4


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("extends: ../base", r"other.study\.yaml: name: missing; add it"),
        ("name: a\nextends: ../nowhere", r"nowhere.study\.yaml: missing"),
        ("name: a\nextends: ../other", r"other.study\.yaml: extends: goes round in a circle \(other -> other\)"),
        ("name: a\nextends: 3", r"other.study\.yaml:2: extends: Input should be a valid string"),
    ],
)
def test_what_can_not_be_extended_is_told(tmp_path: Path, study: str, message: str) -> None:
    _, other = two(tmp_path, study)
    with pytest.raises(StudyError, match=message):
        load_study(other)


def test_a_mistake_is_told_where_it_was_written(tmp_path: Path) -> None:
    base, other = two(tmp_path)
    (base / "study.yaml").write_text(TINY_STUDY + "split: {sead: 5}\n")
    with pytest.raises(StudyError, match=rf"^{base / 'study.yaml'}:5: split\.sead: unknown key; did you mean seed\?$"):
        load_study(other)


@pytest.mark.slow
def test_the_patches_are_those_of_the_other_study_and_all_else_is_its_own(
    tmp_path: Path, load_definitions: LoadDefinitions
) -> None:
    base, other = two(tmp_path)
    for study in (base, other):
        assert materialize(load_definitions(study), "copy-paste").success
    first, second = lineage_of(base), lineage_of(other)
    assert first.find("landsat_patches", "_") == second.find("landsat_patches", "_")
    assert not (second.store.root / "landsat_patches").exists()
    for asset in ("scene_split", "finetuned_model", "trained_unet"):
        assert first.fingerprint(asset, "copy-paste") != second.fingerprint(asset, "copy-paste")
        assert second.find(asset, "copy-paste").path.is_relative_to(second.store.root)


def test_stores_of_several_studies_in_one_folder_find_each_other(tmp_path: Path) -> None:
    base, other = two(tmp_path)
    lineage = lineage_of(other, tmp_path / "objects" / "scarce")
    assert (lineage.of_patches.folder, lineage.of_patches.store.root) == (base, tmp_path / "objects" / "tiny")
