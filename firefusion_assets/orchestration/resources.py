"""What the assets are given: the study and its artifact store. How objects are made is none of its business."""

from pathlib import Path

import dagster as dg

from firefusion_assets.artifacts.bucket_store import open_store
from firefusion_assets.lineage.fingerprints import Lineage


class Workspace(dg.ConfigurableResource):
    """The study folder, and the place of its artifacts: a folder or a bucket's URL."""

    study_folder: str
    artifacts: str

    def lineage(self) -> Lineage:
        """Return the lineage of the study."""
        return Lineage(Path(self.study_folder), open_store(self.artifacts))
