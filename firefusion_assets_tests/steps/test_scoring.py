"""Which predictions are shown: those that some config's network gets most wrong, of every config alike."""

from pathlib import Path

import numpy as np
import pandas as pd

from firefusion_assets.lineage.folds import Fold
from firefusion_assets.steps.scoring import worst_predictions
from firefusion_assets_tests.builders.parts import make_part, table_of


def test_the_worst_patches_are_shown_with_the_predictions_of_every_config(tmp_path: Path) -> None:
    part = make_part(tmp_path / "store", n_free=8, n_fire=8)
    fold = Fold(0, tmp_path / "store", table_of(part), part, part, part, part, part)
    masks = {key: {name: np.zeros((32, 32), bool) for name in part.ids} for key in ("baseline", "native")}
    masks["native"]["free-7"][:2] = True
    scored = []
    for key, of_patches in masks.items():
        (tmp_path / key).mkdir()
        packed = {name: np.packbits(mask, axis=-1) for name, mask in of_patches.items()}
        np.savez_compressed(tmp_path / key / "predictions.npz", allow_pickle=False, **packed)
        rows = [
            {
                "patch_id": name,
                "fn": int((part.read(name).label & ~mask).sum()),
                "fp": int((mask & ~part.read(name).label).sum()),
            }
            for name, mask in of_patches.items()
        ]
        table = pd.DataFrame(rows).assign(fold=0, replicate=0)
        # Of other replicates there are no predictions; that they are worse is of no interest.
        other = table.assign(replicate=1, fn=np.where(table["patch_id"] == "free-0", 10_000, 0))
        scored.append(pd.concat([table, other]))
    examples = worst_predictions(fold, {key: tmp_path / key for key in masks}, scored)
    burning = {name: int(part.read(name).label.sum()) for name in part.ids}
    largest = sorted(burning.values(), reverse=True)[:2]
    assert [burning[example.caption] for example in examples[:2]] == largest, "nothing was found: all fire is missed"
    assert examples[2].caption == "free-7" and len(examples) == 3, "faultless ones aren't shown"
    assert [int(mask.sum()) for mask in examples[2].predicted.values()] == [0, 64]
    assert list(examples[0].predicted) == ["baseline", "native"]
