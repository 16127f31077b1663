"""What the assets are given: the study and its artifact store. How objects are made is none of its business."""

from pathlib import Path

import dagster as dg

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.fingerprints import Lineage


class Workspace(dg.ConfigurableResource):
    """The study folder and the folder of its artifacts."""

    study_folder: str
    artifacts_folder: str

    def lineage(self) -> Lineage:
        """Return the lineage of the study."""
        return Lineage(Path(self.study_folder), ArtifactStore(Path(self.artifacts_folder)))
