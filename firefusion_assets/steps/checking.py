"""Everything that is wrong with a study, listed before any work: settings, files, packages, what the hub has."""

from dataclasses import dataclass, field

from firefusion_assets.core.errors import gathered
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.steps.preflight import problems_without_data
from firefusion_assets.study import Study, StudyError, augmentation_keys, load_augmentation
from firefusion_assets.study.engine import Progress
from firefusion_assets.study.source import MadeSource


@dataclass
class Checked:
    """What a look at a study came to.

    Attributes:
        found: what is there, a line each.
        problems: what is wrong, a line each, with file, key and remedy where it has them.
    """

    found: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_study(lineage: Lineage, progress: Progress) -> Checked:
    """Read a study and all its configs, and list its raw input; no image is opened, and nothing is made.

    Args:
        lineage: of the study.
        progress: called with what may take seconds.

    Returns:
        What is there, and all problems, sorted by file.
    """
    checked, study, keys = Checked(), None, list[str]()
    try:
        keys = augmentation_keys(lineage.folder)
        checked.found.append(f"{len(keys)} configs: {', '.join(keys)}")
        study = lineage.study
    except StudyError as error:
        checked.problems += error.problems
    if study is not None:
        _look_at_input(lineage, study, checked)
    for key in keys:
        try:
            load_augmentation(lineage.folder, key, study)
            if study is not None:
                checked.problems += problems_without_data(lineage, key, progress)
        except StudyError as error:
            checked.problems += error.problems
    # The file is what a line begins with; mistakes in one stay in the order they were found in.
    checked.problems = sorted(gathered(dict.fromkeys(checked.problems)), key=lambda line: line.split(":")[0])
    return checked


def _look_at_input(lineage: Lineage, study: Study, checked: Checked) -> None:
    """Count the raw input; files that are no input are problems unless the study skips them."""
    dataset = study.dataset
    if isinstance(dataset, MadeSource):
        made_from = ", ".join(f"{key} {value}" for key, value in dataset.made_from().items())
        checked.found.append(f"raw input: {dataset.source} scenes ({made_from})")
        return
    try:
        listing = dataset.listing(lineage.of_patches.folder)
    except (OSError, ValueError) as error:
        checked.problems += [
            f"{lineage.of_patches.folder / 'study.yaml'}: dataset: {line}" for line in str(error).splitlines()
        ]
        return
    checked.found.append(f"raw input: {listing.found()}; {len(listing.problems)} files can't be used")
    if dataset.on_bad_input == "fail":
        checked.problems += listing.problems
