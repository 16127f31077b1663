"""Settings that engines which paint a window or a composite have in common."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from firefusion_assets.study.models import Study


def _bands_differ(composite: tuple[str, str, str]) -> tuple[str, str, str]:
    if len(set(composite)) < 3:
        raise ValueError("each band may stand in one place only")
    return composite


Composite = Annotated[tuple[str, str, str], AfterValidator(_bands_differ)]
"""Three bands of the store as red, green and blue."""


def missing_bands(composite: tuple[str, str, str], study: Study) -> Iterator[str]:
    """Say which bands of a composite the study's store doesn't keep."""
    bands = study.dataset.bands
    missing = [band for band in composite if band not in bands]
    if missing:
        yield f"generator.composite: {', '.join(missing)} not among dataset.bands ({', '.join(bands)})"


def oversized_crop(crop: int, study: Study) -> Iterator[str]:
    """Say that a crop is larger than the study's patches."""
    size = study.dataset.patch_size
    if crop > size:
        yield f"generator.crop: {crop} px is larger than a patch ({size} px)"
