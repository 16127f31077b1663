"""What an asset is given while it runs, and what it tells Dagster at its end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

from firefusion_assets.artifacts.store import Artifact
from firefusion_assets.core.errors import UserError
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage

PICTURE_LIMIT: Final = 90_000
"""Bytes of a picture in an event: the event log carries each of them."""

Make = Callable[[Lineage, str, Path, Callable[[str], None]], Mapping[str, Any]]
"""Makes an asset's object: given the lineage, the key of a config, the folder to fill and a listener to its progress;
returns facts."""


class Step:
    """One run of an asset.

    Args:
        asset: its name.
        lineage: the objects of the study.
        context: Dagster's.

    Attributes:
        key: of the config; empty for an asset that exists once a study.
    """

    def __init__(self, asset: AssetName, lineage: Lineage, context: dg.AssetExecutionContext) -> None:
        self.asset, self.lineage, self.context = asset, lineage, context
        self.key: str = context.partition_key if context.has_partition_key else ""
        self.progress: Callable[[str], None] = context.log.info

    def build(self, make: Make) -> Artifact:
        """Return the asset's object, made unless it is finished."""
        return self.lineage.build(
            self.asset, self.key, lambda work: make(self.lineage, self.key, work, self.progress), self.progress
        )


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn errors that a person can repair into one clear failure without a retry."""
    try:
        yield
    except (UserError, FileNotFoundError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    except (ValueError, FloatingPointError) as error:  # of libraries too, so with the place where it was raised
        raise dg.Failure(description=str(error), allow_retries=False) from error


def published(
    artifact: Artifact,
    checks: Sequence[dg.AssetCheckResult] = (),
    sheet: str = "sheet.png",
    **metadata: Any,
) -> dg.MaterializeResult:
    """Return what Dagster shows of an object: fingerprint, facts, costs, path and its picture.

    Args:
        artifact: the object.
        checks: the checks' answers.
        sheet: the file of its picture, where it has one.
        **metadata: more to show.
    """
    shown: dict[str, Any] = {
        "path": dg.MetadataValue.path(str(artifact.path)),
        **{name: value for name, value in artifact.facts.items() if isinstance(value, int | float | str)},
        **artifact.cost,
        **metadata,
    }
    if (artifact.path / sheet).is_file():
        shown["picture"] = picture(artifact.path / sheet)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(artifact.fingerprint), metadata=shown, check_results=list(checks)
    )


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as table metadata; missing values become empty cells."""
    records = [dg.TableRecord({name: None if value != value else value for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records)


def picture(file: Path) -> dg.MarkdownMetadataValue:
    """Return a PNG file as metadata that the UI shows, made smaller where it is too large for an event."""
    from PIL import Image

    from firefusion_assets.core.pictures import markdown_picture, png_bytes

    png = file.read_bytes()
    if len(png) > PICTURE_LIMIT:
        with Image.open(file) as image:
            png = png_bytes(image.convert("RGB"), PICTURE_LIMIT)
    return dg.MetadataValue.md(markdown_picture(png))
