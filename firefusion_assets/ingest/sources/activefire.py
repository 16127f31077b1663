"""The active fire data set's layout: a folder or zip of patches, one of masks, paired by their names."""

from pathlib import Path

from firefusion_assets.ingest.sources.patch_inputs import PatchInput, SourceListing
from firefusion_assets.ingest.sources.raster_files import RasterFile, list_rasters, listing
from firefusion_assets.landsat.bands import FILE_BANDS
from firefusion_assets.landsat.names import PatchName, PatchNameError


def list_activefire(
    images: Path, masks: Path, mask_label: str, missing_mask: str, mask_ignore: int | None
) -> SourceListing:
    """Pair patches with the masks of one label.

    Args:
        images: folder or zip of the patches.
        masks: folder or zip of the masks; may hold other labels too.
        mask_label: whose masks are the truth, for example ``v1`` or ``Kumar-Roy``.
        missing_mask: `event-free`, or `fail`: what an image without a mask is.
        mask_ignore: a mask's value that means unknown.

    Raises:
        FileNotFoundError: if a folder is missing or empty.
    """
    image_files, mask_files = list_rasters(images, masks)
    named_images, image_problems = _by_name(image_files.files)
    named_masks, name_problems = _by_name(mask_files.files)
    problems = image_files.problems + mask_files.problems + image_problems + name_problems
    problems += [
        f"{file}: is a mask among the images; move it to the masks' folder"
        for name, file in named_images.items()
        if name.label
    ]
    wanted = {name.image: file for name, file in named_masks.items() if name.label == mask_label}
    if not wanted:
        labels = ", ".join(sorted({name.label for name in named_masks if name.label})) or "none"
        problems.append(f"{masks}: holds no mask labelled {mask_label!r} (found: {labels}); correct dataset.mask_label")
    problems += [
        f"{file}: is a mask without its image {name}.tif; add the image or remove the mask"
        for name, file in wanted.items()
        if name not in named_images
    ]
    unpaired = [file for name, file in named_images.items() if not name.label and name not in wanted]
    is_event_free = missing_mask == "event-free"
    if not is_event_free:
        problems += [f"{file}: has no mask; add it, or set dataset.missing_mask: event-free" for file in unpaired]
    inputs = [
        PatchInput(
            patch_id=str(name),
            scene=name.scene,
            image=file,
            mask=wanted.get(name),
            path=name.path,
            row=name.row,
            acquired=name.acquired,
        )
        for name, file in named_images.items()
        if not name.label and (name in wanted or is_event_free)
    ]
    inputs.sort(key=lambda patch: patch.patch_id)
    return SourceListing(
        inputs=inputs,
        file_bands=FILE_BANDS,
        problems=problems,
        raw_input=listing([*image_files.files, *wanted.values()]),
        without_mask=len(unpaired) if is_event_free else 0,
        unread=image_files.unread + mask_files.unread,
        mask_ignore=mask_ignore,
    )


def _by_name(files: list[RasterFile]) -> tuple[dict[PatchName, RasterFile], list[str]]:
    named: dict[PatchName, RasterFile] = {}
    problems = []
    for file in files:
        try:
            name = PatchName.parse(file.stem)
        except PatchNameError as error:
            problems.append(f"{file}: {error}")
            continue
        if name in named:
            problems.append(f"{file}: is a duplicate of {named[name]}; remove one of them")
        else:
            named[name] = file
    return named, problems
