"""Engines fitted and loaded as the lineage does it."""

from pathlib import Path

from firefusion_assets.patchstore import PatchPart
from firefusion_assets.study.engine import Engine, Launch, Run


def fit(generator: Engine, train: PatchPart, folder: Path, launch: Launch | None = None) -> dict[str, float]:
    """Fit an engine into a new folder or an earlier attempt's; return its facts."""
    folder.mkdir(parents=True, exist_ok=True)
    return generator.fit(train, folder, Run(lambda message: None, launch))
