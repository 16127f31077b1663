"""Batches have the promised composition and follow from seed and step; fitting reads the train part only."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from firefusion_assets.core.seeding import cycled_index
from firefusion_assets.patchstore import LeakError, Patches, PatchPart
from firefusion_assets.segmentation.batches import Normalisation, TrainingBatches, survey_train
from firefusion_assets.study.models import Training
from firefusion_assets_tests.builders.squares import BANDS, recipe, square_patch, squares, write_store


def batches_of(
    tmp_path: Path, *, added: int = 0, training: Training | None = None, seed: int = 1, repeat_fire: bool = True
) -> tuple[TrainingBatches, Patches]:
    base, overlay = tmp_path / "base", tmp_path / "overlay"
    if not base.exists():
        write_store(base, squares(10))
    write_store(overlay, {f"s{i}": square_patch(500 + i, fire=True, weight=0.5) for i in range(added)})
    patches = Patches(base, [overlay])
    part = PatchPart(patches, [*patches.base_ids, *patches.added_ids])
    training = training or recipe()
    survey = survey_train(PatchPart(patches, patches.base_ids), training.bands)
    return TrainingBatches(part, survey, patches.added_ids, training, seed, repeat_fire), patches


def test_constants_equal_those_of_all_valid_pixels(tmp_path: Path) -> None:
    patches = squares(9)
    store = Patches(write_store(tmp_path / "base", patches))
    survey = survey_train(PatchPart(store, store.base_ids), ("B7", "B2"))
    for band, mean, std in zip(("B7", "B2"), survey.normalisation.mean, survey.normalisation.std, strict=True):
        pixels = np.concatenate([patch.bands[BANDS.index(band)].ravel() for patch in patches.values()])
        valid = pixels[pixels > 0].astype(np.float64)
        assert valid.size < pixels.size
        assert (mean, std) == (pytest.approx(valid.mean(), rel=1e-12), pytest.approx(valid.std(), rel=1e-9))


def test_scaling_centres_and_leaves_fill_at_zero() -> None:
    dn = torch.from_numpy(np.array([[[[0, 65535, 100]]]], np.uint16))
    scaled = Normalisation(bands=("B7",), mean=(100.0,), std=(10.0,)).scale(dn)
    torch.testing.assert_close(scaled, torch.tensor([[[[0.0, 6543.5, 0.0]]]]))


def test_fire_and_fire_free_by_pixels_that_count(tmp_path: Path) -> None:
    survey_patches = {
        "fire": square_patch(0, fire=True),
        "free": square_patch(1, fire=False),
        "only-ignored-fire": square_patch(2, fire=False, ignored_rows=2),
    }
    store = Patches(write_store(tmp_path / "base", survey_patches))
    survey = survey_train(PatchPart(store, store.base_ids), BANDS)
    assert survey.fire == ["fire"]
    assert survey.fire_free == ["free", "only-ignored-fire"]


def test_fitting_outside_the_train_part_is_an_error(tmp_path: Path) -> None:
    store = Patches(write_store(tmp_path / "base", squares(6)))
    whole = PatchPart(store, store.base_ids)
    file = tmp_path / "statistics.json"
    file.write_text(whole.statistics.model_dump_json())
    assert PatchPart(store, store.base_ids, file).statistics == whole.statistics
    with pytest.raises(LeakError, match="another part"):
        survey_train(PatchPart(store, store.base_ids[:5], file), BANDS)


def test_what_cannot_be_fitted_is_named(tmp_path: Path) -> None:
    free = {f"p{i}": square_patch(i, fire=False) for i in range(3)}
    store = Patches(write_store(tmp_path / "free", free))
    part = PatchPart(store, store.base_ids)
    with pytest.raises(ValueError, match="none of 3 train patches has a fire pixel"):
        survey_train(part, BANDS)
    with pytest.raises(ValueError, match="the store holds B2, B6, B7, not B5"):
        survey_train(part, ("B7", "B5"))


@pytest.mark.parametrize(("batch_size", "composition"), [(8, (4, 2, 2)), (2, (1, 1, 0)), (16, (8, 4, 4))])
@pytest.mark.parametrize("added", [0, 3])
def test_composition(tmp_path: Path, batch_size: int, composition: tuple[int, int, int], added: int) -> None:
    training = recipe(batch_size=batch_size)
    assert training.batch_composition == composition
    batches, patches = batches_of(tmp_path, added=added, training=training)
    free, fire, extra = composition
    for step in range(30):
        ids = batches.ids(step)
        has_fire = [bool((patches.read(i).label & ~patches.read(i).ignore).any()) for i in ids]
        assert has_fire == [False] * free + [True] * (fire + extra)
        assert [i in patches.added_ids for i in ids] == [False] * (free + fire) + [added > 0] * extra


def test_without_fire_free_patches_the_slot_shows_fire(tmp_path: Path) -> None:
    fires = {f"f{i}": square_patch(i, fire=True) for i in range(3)}
    write_store(tmp_path / "base", fires)
    batches, _ = batches_of(tmp_path)
    assert set(batches.ids(0)) <= set(fires)
    assert len(batches.ids(0)) == 8


def test_a_config_changes_the_extra_slot_only(tmp_path: Path) -> None:
    baseline, _ = batches_of(tmp_path, added=0)
    before = [baseline.ids(step) for step in range(20)]
    config, _ = batches_of(tmp_path, added=3)
    assert [config.ids(step)[:6] for step in range(20)] == [ids[:6] for ids in before]
    assert all(set(config.ids(step)[6:]).isdisjoint(before[step][6:]) for step in range(20))


def test_draws_are_shuffled_passes_of_each_slot(tmp_path: Path) -> None:
    batches, patches = batches_of(tmp_path, added=3)
    drawn = [patch_id for step in range(5) for patch_id in batches.ids(step)[:4]]  # 20 draws of 5 fire-free patches
    free = [i for i in patches.base_ids if int(i[1:]) % 2]
    assert Counter(drawn) == dict.fromkeys(free, 4)
    assert drawn == [free[cycled_index(position, 5, 1, "fire-free")] for position in range(20)]


def test_a_batch_follows_from_seed_and_step(tmp_path: Path) -> None:
    first, _ = batches_of(tmp_path, added=3)
    for step in range(5):
        first.read(step)
    later, _ = batches_of(tmp_path, added=3)
    for got, expected in zip(later.read(5), first.read(5), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
    other, _ = batches_of(tmp_path, added=3, seed=2)
    assert other.ids(5) != first.ids(5)


def test_a_batch_holds_its_patches_in_one_of_eight_orientations(tmp_path: Path) -> None:
    batches, patches = batches_of(tmp_path, added=3)
    seen = set()
    for step in range(12):
        batch = batches.read(step)
        assert batch.dn.dtype == torch.uint16
        for place, patch_id in enumerate(batches.ids(step)):
            patch = patches.read(patch_id)
            stack = np.concatenate([patch.bands[[2, 1, 0]], patch.label[None], patch.ignore[None]])
            turns = [np.rot90(m, k, (1, 2)) for m in (stack, stack.transpose(0, 2, 1)) for k in range(4)]
            got = np.concatenate(
                [batch.dn[place].numpy(), batch.label[place, None].numpy(), batch.ignore[place, None].numpy()]
            )
            matching = [k for k, turned in enumerate(turns) if np.array_equal(turned, got)]
            assert len(matching) == 1
            seen.add(matching[0])
            assert batch.weight[place] == (0.5 if patch_id in patches.added_ids else 1.0)
    assert seen == set(range(8))


def test_constants_come_one_for_each_band() -> None:
    with pytest.raises(ValueError, match="one of each for every band"):
        Normalisation(bands=("B7", "B6"), mean=(1.0,), std=(1.0, 1.0))


def test_without_repeating_fire_all_patches_come_equally_often(tmp_path: Path) -> None:
    batches, patches = batches_of(tmp_path, training=recipe(batch_size=5), repeat_fire=False)
    seen = Counter(patch_id for step in range(8) for patch_id in batches.ids(step))
    assert seen == dict.fromkeys(patches.base_ids, 4)
    assert len(batches.ids(3)) == 5


def test_batches_that_are_read_ahead_are_the_same(tmp_path: Path) -> None:
    batches, _ = batches_of(tmp_path, added=2)
    for step, batch in enumerate(batches.stream(3, 7), start=3):
        for ahead, read in zip(batch, batches.read(step), strict=True):
            assert torch.equal(ahead, read)
    assert list(batches.stream(4, 4)) == []
