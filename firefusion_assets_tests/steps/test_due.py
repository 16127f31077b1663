"""Which configs run by themselves: those that something changed for, as far as the hours go."""

from pathlib import Path

import pytest

from firefusion_assets.steps.due import DueConfig, affordable, due_configs
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    lineage_of,
    loaded,
    materialize,
    write_study,
)


def hours(*pairs: tuple[str, float]) -> list[DueConfig]:
    return [DueConfig(key, "", cost) for key, cost in pairs]


def test_as_many_as_the_hours_allow() -> None:
    due = hours(("a", 3), ("b", 6), ("c", 2), ("d", 0.5))
    assert [one.key for one in affordable(due, 8)] == ["a", "c", "d"]
    assert [one.key for one in affordable(due, 100)] == ["a", "b", "c", "d"]
    assert affordable(due, 0.1) == []


@pytest.mark.slow
def test_what_changed_is_due_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {name: TINY_CONFIGS[name] for name in ("baseline", "copy-paste")}
    study = write_study(tmp_path / "study", TINY_STUDY, configs)
    assert [one.key for one in due_configs(lineage_of(study))] == ["baseline", "copy-paste"]
    defs = loaded(study, monkeypatch)
    for key in configs:
        assert materialize(defs, key).success
    assert due_configs(lineage_of(study)) == []

    # A change of one config makes that one due, by what its stale steps took; undone, nothing is.
    file = study / "augmentations" / "copy-paste.yaml"
    file.write_text(configs["copy-paste"].replace("images: 6", "images: 5"))
    (due,) = due_configs(lineage_of(study))
    lineage = lineage_of(study)
    spent = [lineage.pointed(name, "copy-paste") for name in STALE]
    assert due.key == "copy-paste"
    assert due.hours == pytest.approx(sum(one.cost["seconds"] for one in spent if one) / 3600)
    file.write_text(configs["copy-paste"].replace("images: 6", "images: 4"))
    (again,) = due_configs(lineage_of(study))
    assert again.made_from != due.made_from, "another change is another request"
    file.write_text(configs["copy-paste"])
    assert due_configs(lineage_of(study)) == []

    # What all share makes all due; a wrong config never is.
    (study / "study.yaml").write_text(TINY_STUDY.replace("seed: 3", "seed: 4"))
    (study / "augmentations" / "wrong.yaml").write_text("generator: {engine: magic}")
    assert [one.key for one in due_configs(lineage_of(study))] == ["baseline", "copy-paste"]


STALE = (
    "augmentation_config", "inpainting_masks", "synthetic_images", "screened_images", "augmented_lmdb", "trained_unet",
    "dice_metrics",
)  # fmt: skip
"""What depends on the number of images: all but the model."""
