"""Patches are chosen, and pixels left out, by a network that saw real data alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.plan import Plan
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.segmentation.trained import load_network
from firefusion_assets_tests.builders.studies import (
    TINY_CONFIGS,
    TINY_STUDY,
    lineage_of,
    loaded,
    materialize,
    write_study,
)

pytestmark = pytest.mark.slow

STUDY = TINY_STUDY.replace("steps: 6", "steps: 60").replace("validate_every: 2", "validate_every: 30")
CONFIGS = {
    "baseline": TINY_CONFIGS["baseline"],
    "all": TINY_CONFIGS["copy-paste"].replace("murphy], ", "murphy], label: mask, "),
    "best": "extends: all\nscreening: {select: best}",
    "hard": "extends: all\nscreening: {select: hard}",
    "filtered": "extends: all\nscreening: {label: loss-filtered}",
}
FOLDER = Path("fold-0") / "replicate-0"


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    study = write_study(tmp_path_factory.mktemp("chosen") / "study", STUDY, CONFIGS)
    with pytest.MonkeyPatch.context() as patched:
        defs = loaded(study, patched)
        for key in CONFIGS:
            assert materialize(defs, key, to="augmented_lmdb").success
    return lineage_of(study)


def losses(lineage: Lineage, key: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the cross-entropy of each painted patch inside its edit mask, and which pixels are fire there."""
    (folder,) = {file.parent for file in (lineage.store.root / "real_network").glob("*/network.json")}
    network, record = load_network(folder)
    synthetic = SyntheticPatches(lineage.find("synthetic_images", key).path / FOLDER)
    plan = Plan.read(lineage.find("inpainting_masks", key).path / FOLDER, 32)
    bands = lineage.study.dataset.bands
    found = []
    for number in range(len(synthetic)):
        dn = synthetic.read(number)[[bands.index(band) for band in record.normalisation.bands]]
        with torch.inference_mode():
            fire = torch.sigmoid(network(record.normalisation.scale(torch.from_numpy(dn[None])))[0, 0]).double()
        label, edit = plan.labels[number], plan.edits[number]
        chance = np.where(label, fire.cpu().numpy(), 1 - fire.cpu().numpy())
        found.append((-np.log(chance[edit]), label[edit]))
    return found


def judged(lineage: Lineage, key: str) -> Verdicts:
    return Verdicts.read(lineage.find("screened_images", key).path / FOLDER, 32)


def test_the_network_is_one_for_all_configs_and_saw_the_train_part_alone(lineage: Lineage) -> None:
    networks = [*(lineage.store.root / "real_network").glob("*/manifest.json")]
    assert len(networks) == 1
    split = pd.read_parquet(lineage.find("scene_split", "_").path / "split.parquet")
    found = lineage.store.find("real_network", networks[0].parent.name)
    assert found is not None and found.facts["n_patches"] == (split["part"] == "train").sum()
    assert {asset for asset, _ in found.uses or ()} <= {"landsat_patches", "scene_split", "train_statistics"}


@pytest.mark.parametrize("select", ["best", "hard"])
def test_of_all_that_pass_those_are_kept_that_cost_least_or_most(lineage: Lineage, select: str) -> None:
    rows = judged(lineage, select).rows
    assert len(rows) > len(judged(lineage, "all").rows), "all tries are painted"
    passed = rows["reason"].isin(["", "more were painted than asked for"])
    assert rows["accepted"].sum() == 6 < passed.sum()
    errors = pd.Series(
        [(cost[fire].mean() + cost[~fire].mean()) / 2 for cost, fire in losses(lineage, select)], rows.index
    )
    np.testing.assert_allclose(rows.loc[passed, "real_error"], errors[passed], rtol=1e-3)
    order = errors[passed].sort_values(ascending=select == "best")
    assert set(rows.index[rows["accepted"]]) == set(order.index[:6])


def test_what_the_network_finds_wrong_is_ignored_and_nothing_else_changes(lineage: Lineage) -> None:
    plain, filtered = judged(lineage, "all"), judged(lineage, "filtered")
    accepted = [*plain.rows.index[plain.rows["accepted"]]]
    assert accepted == [*filtered.rows.index[filtered.rows["accepted"]]]
    costs = losses(lineage, "filtered")
    limits = {
        of: 1.25 * np.concatenate([costs[number][0][costs[number][1] == of] for number in accepted]).mean()
        for of in (True, False)
    }
    edits = Plan.read(lineage.find("inpainting_masks", "filtered").path / FOLDER, 32).edits
    left_out = 0
    for number in accepted:
        cost, fire = costs[number]
        doubted = np.zeros((32, 32), bool)
        doubted[edits[number]] = cost > np.where(fire, limits[True], limits[False])
        np.testing.assert_array_equal(filtered.ignored[number], plain.ignored[number] | doubted)
        np.testing.assert_array_equal(filtered.labels[number], plain.labels[number] & ~doubted)
        left_out += int(doubted.sum())
    assert left_out > 0, "otherwise this test says nothing"


def test_editing_the_training_reaches_only_what_asks_the_network(lineage: Lineage, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "other", STUDY.replace("steps: 60", "steps: 61"), CONFIGS)
    other = lineage_of(folder, lineage.store.root)
    for key, same in (("all", True), ("best", False), ("filtered", False)):
        assert (lineage.fingerprint("screened_images", key) == other.fingerprint("screened_images", key)) == same
        assert lineage.fingerprint("synthetic_images", key) == other.fingerprint("synthetic_images", key)
