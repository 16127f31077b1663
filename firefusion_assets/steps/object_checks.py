"""What the checks of an object say, by the facts that its manifest holds.

So whoever has the objects has the answers for each key, also from a store that several machines share, each with a
DAGSTER_HOME of its own. Two checks are no facts of an object but of the moment: `STORE_INTACT` and `NOTHING_DAMAGED`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.study.models import FEW_GROUPS

STORE_INTACT: Final = "store_intact"
NO_BAD_FILES: Final = "no_bad_files"
NO_LEAK: Final = "no_leak"
ENOUGH_TESTED: Final = "enough_tested"
BACKGROUND_UNTOUCHED: Final = "background_untouched"
ENOUGH_ACCEPTED: Final = "enough_accepted"
NO_COPIES: Final = "no_copies"
NO_FINGERPRINT: Final = "no_fingerprint"
COUNTS_MATCH: Final = "counts_match"
FINDS_FIRE: Final = "finds_fire"
ALL_CURRENT: Final = "all_current"
NOTHING_DAMAGED: Final = "nothing_damaged"

BLOCKING: Final[Mapping[str, str]] = {
    STORE_INTACT: "Every file of the object has the published size, and right after publishing its content too.",
    NO_LEAK: "No group is in two parts of a fold.",
    BACKGROUND_UNTOUCHED: "Outside the edit masks every painted patch equals its background in every band.",
    COUNTS_MATCH: "The overlay holds exactly the accepted patches, painted on the train part's, and those held back.",
}
"""The checks that stop what comes after, and what each is sure of."""

_WARNING: Final = {
    NO_BAD_FILES: "Every file of the raw input could be used.",
    ENOUGH_TESTED: "Fires of at least 10 groups are evaluated: intervals from fewer are unreliable, and from one there "
    "is none. More folds test more groups (split.folds).",
    ENOUGH_ACCEPTED: "As many patches were accepted as the config asks for, and at least half of the painted ones.",
    NO_COPIES: "No painted fire is nearly a real one of the train part.",
    NO_FINGERPRINT: "A classifier can't tell the ground around painted fires from what it was: 0.5 is in its AUC's "
    "interval.",
    FINDS_FIRE: "Every U-Net finds some of the test fires.",
    ALL_CURRENT: "Every config has a figure made from today's settings and data.",
    NOTHING_DAMAGED: "All that the step read is as it was published. What isn't is moved to .damaged in the store, for "
    "you to look at, and made again; if it happens twice, check the disk.",
}


class Answer(NamedTuple):
    """What a check says.

    Attributes:
        check: its name.
        passed: whether what it is sure of holds.
        figures: what that follows from; None where there is nothing to tell.
    """

    check: str
    passed: bool
    figures: Mapping[str, Any]


def meaning(check: str) -> str:
    """Return what a check is sure of if it passes."""
    return BLOCKING.get(check) or _WARNING[check]


def answers(lineage: Lineage, key: str, artifact: Artifact) -> Iterator[Answer]:
    """Yield what the checks of an object of today say.

    Args:
        lineage: of the study.
        key: of the config; empty for what exists once a study.
        artifact: the object of one of the lineage's assets.
    """
    facts = artifact.facts
    match artifact.asset:
        case "landsat_patches":
            bad = facts["bad_files"]
            yield Answer(NO_BAD_FILES, not bad, {"bad_files": "\n".join(bad) or None})
        case "scene_split":
            # A split by patch is leaky by the user's own wish; the report says so at its top.
            yield Answer(NO_LEAK, facts["n_leaks"] == 0 or facts["by"] == "patch", {"n_leaks": facts["n_leaks"]})
            yield _enough_tested(lineage, artifact)
        case "synthetic_images":
            changed = facts["n_values_changed_outside"]
            yield Answer(BACKGROUND_UNTOUCHED, changed == 0, {"n_values_changed_outside": changed})
        case "screened_images":
            n, wanted = facts["n_images"], facts["wanted"]
            enough = n == wanted and (wanted == 0 or facts["accepted_share"] >= 0.5)
            copied = 0 if lineage.config(key).generator.copies else facts["n_copies"]
            yield Answer(ENOUGH_ACCEPTED, enough, {"accepted": n, "wanted": wanted})
            yield Answer(NO_COPIES, copied == 0, {"n_copies": facts["n_copies"]})
            yield Answer(NO_FINGERPRINT, facts.get("fingerprint_outside_low", 0.5) <= 0.5, {})
        case "augmented_lmdb":
            added, accepted, held_back = (facts[f"n_{name}"] for name in ("added", "accepted", "held_back"))
            figures = {"added": added, "accepted": accepted, "held_back": held_back}
            yield Answer(COUNTS_MATCH, added == accepted + held_back, figures)
        case "dice_metrics":
            blind = [
                f"fold {row['fold']} replicate {row['replicate']}" for row in facts["summary"] if not row["recall"]
            ]
            yield Answer(FINDS_FIRE, not blind, {"blind": ", ".join(blind) or None})
        case "augmentation_report":
            missing = facts["not_current"]
            yield Answer(ALL_CURRENT, not missing, {"not_current": ", ".join(missing) or None})


def _enough_tested(lineage: Lineage, split: Artifact) -> Answer:
    from pyarrow.parquet import read_table  # pandas takes longer to import than a status may take

    evaluated = [("part", "==", lineage.study.evaluation.part), ("fire_pixels", ">", 0)]
    burning = read_table(split.path / "split.parquet", columns=["group", "fire_pixels"], filters=evaluated)
    groups, pixels = len(burning["group"].unique()), sum(burning["fire_pixels"].to_pylist())
    return Answer(ENOUGH_TESTED, groups >= FEW_GROUPS, {"groups": groups, "fire_pixels": pixels})
