"""The overlay store of a config: its accepted synthetic patches, nothing of the base again."""

from firefusion_assets.inpainting.painting import SyntheticPatches
from firefusion_assets.inpainting.verdicts import Verdicts
from firefusion_assets.patchstore import LeakError, Patch, PatchPart, PatchWriter


def add_accepted(
    writer: PatchWriter, synthetic: SyntheticPatches, verdicts: Verdicts, part: PatchPart, fold: int, replicate: int
) -> int:
    """Add the accepted patches of one replicate to an overlay.

    Args:
        writer: the overlay.
        synthetic: what was painted.
        verdicts: what was accepted.
        part: the fold's train part.
        fold: its number.
        replicate: its number.

    Returns:
        How many were added.

    Raises:
        LeakError: if a background or a mask comes from outside the train part.
    """
    accepted = verdicts.rows.index[verdicts.rows["accepted"]]
    rows = synthetic.provenance.loc[accepted]
    foreign = sorted((set(rows["background"]) | set(rows["mask"])) - set(part.ids))
    if foreign:
        raise LeakError(f"fold {fold}: painted on or from patches outside the train part: {', '.join(foreign[:5])}")
    for number in accepted:
        patch = Patch(synthetic.read(number), verdicts.labels[number], verdicts.ignored[number])
        writer.add_patch(verdicts.rows.loc[number, "synthetic_id"], patch, fold, replicate)
    return len(accepted)
