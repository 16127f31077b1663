"""What every asset does around its work: errors a person can mend, logging, and what Dagster is told at the end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

from firefusion_assets.artifacts.store import Artifact, ArtifactError
from firefusion_assets.lineage.fingerprints import MissingUpstreamError
from firefusion_assets.study import StudyError

PICTURE_LIMIT: Final = 90_000
"""Bytes of a picture in an event: the event log carries each of them."""

_USER_ERRORS: tuple[type[Exception], ...] = (
    StudyError,
    MissingUpstreamError,
    ArtifactError,
    FileNotFoundError,
)


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors that a person can mend into one clear failure without a retry.

    Args:
        *kinds: errors of the domain, beside those of study, store and missing files.
    """
    try:
        yield
    except (*_USER_ERRORS, *kinds) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


def progress_of(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """Return what tells a step's progress."""
    return context.log.info


def published(
    artifact: Artifact,
    picture: Path | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
    **metadata: Any,
) -> dg.MaterializeResult:
    """Return what Dagster is told of an object: fingerprint, facts, costs, path and a picture.

    Args:
        artifact: the object.
        picture: a PNG file to show, if there is one.
        checks: the checks' answers.
        **metadata: more to show.
    """
    shown: dict[str, Any] = {
        "path": dg.MetadataValue.path(str(artifact.path)),
        **{name: value for name, value in artifact.facts.items() if isinstance(value, int | float | str)},
        **artifact.cost,
        **metadata,
    }
    if picture is not None and picture.is_file():
        shown["picture"] = picture_metadata(picture)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(artifact.fingerprint), metadata=shown, check_results=list(checks)
    )


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as table metadata; missing values become empty cells."""
    records = [dg.TableRecord({name: None if value != value else value for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records)


def picture_metadata(picture: Path) -> dg.MarkdownMetadataValue:
    """Return a PNG file as metadata that the UI shows, made smaller where it is too large for an event."""
    from PIL import Image

    from firefusion_assets.core.pictures import markdown_picture, png_bytes

    with Image.open(picture) as image:
        return dg.MetadataValue.md(markdown_picture(png_bytes(image.convert("RGB"), PICTURE_LIMIT)))
