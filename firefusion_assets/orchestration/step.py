"""What an asset is given while it runs, and what it tells Dagster at its end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

from firefusion_assets.artifacts.artifact import Artifact
from firefusion_assets.core.errors import UserError
from firefusion_assets.core.tracking import Run, Tracker, tracked
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.lineage.pieces import Pieces
from firefusion_assets.orchestration.checks import nothing_damaged, result
from firefusion_assets.orchestration.columns import column_schema
from firefusion_assets.orchestration.executors import end_with_run
from firefusion_assets.steps.addresses import address_of
from firefusion_assets.steps.object_checks import answers

PICTURE_LIMIT: Final = 90_000
"""Bytes of a picture in an event: the event log carries each of them."""

MADE_NOW: Final = "made_by_this_run"
"""Metadata of an object: whether this run made it, and not an earlier one."""

_PREVIEW_WIDTH: Final = 360
"""px; wider pictures are cut by the UI's table."""

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
        """Return the asset's object, made unless it is finished; what is made is told to a tracker too."""

        def tracked_make(work: Path) -> Mapping[str, Any]:
            with self._tracked() as tracker:
                facts = make(self.lineage, self.key, work, self.progress)
                tracker.figures({name: value for name, value in facts.items() if isinstance(value, int | float)}, 0)
                for sheet in sorted(work.glob("*.png")):
                    tracker.picture(sheet.stem, sheet)
            return facts

        return self.lineage.build(self.asset, self.key, tracked_make, self.progress)

    def is_finished(self) -> bool:
        """Tell whether the asset's object is there, by a look at its manifest."""
        return self.lineage.store.find(self.asset, self.lineage.fingerprint(self.asset, self.key)) is not None

    def build_ahead(self, pieces: Pieces) -> None:
        """Make some pieces of the asset's object, for a later step to find."""
        with self._tracked():
            pieces.build(self.progress)

    def _tracked(self) -> AbstractContextManager[Tracker]:
        study = self.lineage.study.name
        run = Run(study, self.key or "all configs", self.asset, str(self.lineage.folder / "tracking"))
        return tracked(run, self.lineage.config(self.key).model_dump(mode="json") if self.key else {})

    def published(
        self,
        artifact: Artifact,
        checks: Sequence[dg.AssetCheckResult] = (),
        *,
        table_file: str = "",
        sheet: str = "sheet.png",
        **metadata: Any,
    ) -> dg.MaterializeResult:
        """Return what Dagster shows of an object: its picture, facts, costs, path and columns, and whether it was made.

        Args:
            artifact: the object.
            checks: answers that aren't among the object's facts, besides whether something was damaged.
            table_file: pattern of its table, of which the columns are shown.
            sheet: the file of its picture, where it has one.
            **metadata: more to show.
        """
        shown: dict[str, Any] = {}
        if (artifact.path / sheet).is_file():
            # Short Markdown is shown at once; the picture in it comes from `firefusion report --serve`.
            link = address_of(self.lineage.study.name, artifact, sheet)
            shown["preview"] = dg.MetadataValue.md(f"[![{self.asset}]({link}?width={_PREVIEW_WIDTH})]({link})")
            metadata["picture"] = picture(artifact.path / sheet)
        shown |= metadata
        facts = {**artifact.facts, **artifact.cost}
        shown |= {name: rounded(value) for name, value in facts.items() if isinstance(value, int | float | str)}
        made = self.lineage.store_of(self.asset).made
        shown[MADE_NOW] = (artifact.asset, artifact.fingerprint) in made
        shown["path"] = dg.MetadataValue.path(str(artifact.path))
        if table_file and (tables := sorted(artifact.path.glob(table_file))):
            shown["dagster/column_schema"] = column_schema(self.asset, tables[0])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(artifact.fingerprint),
            metadata=shown,
            check_results=[
                *checks,
                *(result(one.check, one.passed, **one.figures) for one in answers(self.lineage, self.key, artifact)),
                nothing_damaged(self.lineage),
            ],
        )


@contextmanager
def running_step(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """What holds for each step: it ends with its run, and errors that a person can repair are one clear failure
    without a retry.
    """
    end_with_run(context)
    try:
        yield
    except (UserError, FileNotFoundError) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    except (ValueError, FloatingPointError) as error:  # of libraries too, so with the place where it was raised
        raise dg.Failure(description=str(error), allow_retries=False) from error


def rounded(value: float | str) -> float | str:
    """Return a number with the digits that people read."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return rows as table metadata; missing values become empty cells."""
    records = [
        dg.TableRecord(
            {name: None if value is None or value != value else rounded(value) for name, value in row.items()}
        )
        for row in rows
    ]
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
