"""What a reader must know before believing a comparison."""

from collections.abc import Iterator, Sequence

from firefusion_assets.report.inputs import ReportInputs
from firefusion_assets.report.statistics.contrasts import contrasts
from firefusion_assets.study.models import FEW_GROUPS

FEW_SCENES = 10
FEW_FIRE_SCENES = 3
FEW_FIRE_PATCHES = 30
"""Below these, the evaluated part is called small."""


def warnings(inputs: ReportInputs) -> list[str]:
    """Say in plain words why the comparison may mislead."""
    return [
        *_protocol_warnings(inputs),
        *_data_warnings(inputs),
        *_size_warnings(inputs),
        *_repetition_warnings(inputs),
        *_config_warnings(inputs),
    ]


def _protocol_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.study.evaluation.part == "val":
        yield (
            "These figures are a replication, not a valid estimate: they come from the validation part, and the "
            "checkpoint was chosen on the same patches. For an estimate set evaluation.part to test."
        )
    if inputs.study.report.headline == "dice_batch_mean":
        yield (
            "Dice is the mean over batches of 8 patches that contain fire: false alarms in other batches cost nothing, "
            "and a few patches decide it. Nothing is claimed from it; set report.headline to dice_micro for that."
        )


def _data_warnings(inputs: ReportInputs) -> Iterator[str]:
    yield from inputs.study.dataset.cautions()
    if inputs.study.split.by == "patch":
        yield (
            "The split is leaky: it is by patch, so neighbouring patches of one fire may be in the train and the "
            f"{inputs.part_name} part, so the figures may be too good. Set split.by to group where there are enough "
            "scenes."
        )
    skipped = inputs.data.get("skipped_files")
    if isinstance(skipped, Sequence) and skipped:
        yield f"{count(len(skipped), 'file')} could not be used and left out; see the details."


def _size_warnings(inputs: ReportInputs) -> Iterator[str]:
    if inputs.split.empty:
        return
    part = inputs.split[inputs.split["part"] == inputs.study.evaluation.part]
    scenes, fire_patches = int(part["n_scenes"].sum()), int(part["n_fire_patches"].sum())
    # Without a count of its own, each patch with fire may be from another scene.
    fire_scenes = int(part["n_fire_scenes"].sum()) if "n_fire_scenes" in part else min(scenes, fire_patches)
    if scenes < FEW_SCENES or fire_scenes < FEW_FIRE_SCENES:
        known = f", {fire_scenes} of them with fire" if "n_fire_scenes" in part else ""
        yield (
            f"The {inputs.part_name} part is {count(scenes, 'scene')}{known}: other scenes may reverse the result. "
            f"Test at least {FEW_SCENES}, {FEW_FIRE_SCENES} of them with fire; more folds test more scenes."
        )
    if fire_patches < FEW_FIRE_PATCHES:
        yield (
            f"The {inputs.part_name} part has {count(fire_patches, 'patch', 'patches')} with fire "
            f"({int(part['fire_pixels'].sum()):,} px): a few of them decide the Dice."
        )


def _repetition_warnings(inputs: ReportInputs) -> Iterator[str]:
    study = inputs.study
    if study.replicates.count == 1:
        yield (
            "There is one replicate: how much the figures change from one training to the next is not known, so "
            "nothing can be claimed. Set replicates.count to 8 or more."
        )
    if study.split.folds == 1:
        yield (
            f"There is one fold: only one choice of {inputs.part_name} scenes was measured. Set split.folds to 3 or "
            "more where there are enough scenes."
        )
    few = {contrast.groups for contrast in contrasts(inputs) if not contrast.reliable}
    if few:
        yield (
            f"Fires burn in {count(max(few), 'group')} of the {inputs.part_name} part: intervals from fewer than "
            f"{FEW_GROUPS} are unreliable. Test more scenes, or set split.folds."
        )


def _config_warnings(inputs: ReportInputs) -> Iterator[str]:
    baseline = inputs.study.report.baseline
    if all(config.key != baseline for config in inputs.configs):
        yield f"The study has no config {baseline!r}, which report.baseline names; without it there are no differences."
    for config in inputs.ordered_configs:
        if config.status != "current":
            yield f"{config.key} is {config.status} and does not count. {config.note}".strip()
    current = [config for config in inputs.ordered_configs if config.status == "current"]
    painting = [config for config in current if config.paints]
    if painting and not any(config.copies for config in painting):
        yield (
            "No config that adds copies of real fires is current: without this control, a gain may come from more "
            "fire alone, however it is made."
        )
    for config in current:
        wanted, accepted = config.facts.get("wanted"), config.facts.get("n_images")
        if isinstance(wanted, int | float) and isinstance(accepted, int | float) and accepted < wanted:
            yield (
                f"{config.key} adds {accepted} of the {wanted} images wanted: too few passed screening. "
                "Raise sampling.max_tries, or look at why they were rejected."
            )


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"
