"""A tiny study and its lineage in this process: seconds instead of minutes, the same code."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.lineage.assets import AssetName
from firefusion_assets.lineage.fingerprints import Lineage

REPOSITORY = Path(__file__).parents[2]

TINY_STUDY = """
name: tiny
dataset: {source: simulated, scenes: 6, patches_per_scene: 4, patch_size: 32, fire_share: 0.5, seed: 3}
training: {bands: [B7, B6, B2], filters: 2, steps: 6, batch_size: 4, validate_every: 2}
"""
TWO_REPLICATES = TINY_STUDY + "replicates: {count: 2}\n"
TINY_CONFIGS = {
    "baseline": "generator: {engine: none}",
    "copy-paste": """
generator: {engine: copy-paste}
sampling: {images: 6, batch_size: 4}
screening: {detectors: [murphy], min_detected: 0}
""",
    "native": """
extends: copy-paste
generator: {engine: native, crop: 16, steps: 6, batch_size: 2, channels: [8, 16], checkpoint_every: 2}
sampling: {steps: 2}
screening: {min_changed: 0}
""",
}

LoadDefinitions = Callable[[Path], dg.Definitions]


def lineage_of(study: Path, artifacts: Path | None = None) -> Lineage:
    """Return the objects of a study as they are now."""
    return Lineage(study, ArtifactStore(artifacts or study / "artifacts"))


def write_study(folder: Path, study: str = TINY_STUDY, configs: dict[str, str] | None = None) -> Path:
    """Write a study folder."""
    (folder / "augmentations").mkdir(parents=True)
    (folder / "study.yaml").write_text(study)
    for key, text in (configs or TINY_CONFIGS).items():
        (folder / "augmentations" / f"{key}.yaml").write_text(text)
    return folder


def loaded(study: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """Return the definitions of a study; what is imported for them is forgotten with the patch."""
    monkeypatch.setenv("FIREFUSION_STUDY", str(study))
    monkeypatch.setenv("FIREFUSION_EXECUTOR", "in_process")
    monkeypatch.delenv("FIREFUSION_ARTIFACTS", raising=False)
    layer = ("definitions",)
    for name in [*sys.modules]:
        if name.startswith(tuple(f"firefusion_assets.{part}" for part in layer)):
            monkeypatch.delitem(sys.modules, name)
    defs: dg.Definitions = importlib.import_module("firefusion_assets.definitions").defs
    return defs


def materialize(
    defs: dg.Definitions, key: str, to: AssetName | None = None, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    """Run the lineage for one key in this process, as far as an asset; a report takes a third of a tiny one's time."""
    selection = None
    if to is not None:
        graph = defs.resolve_asset_graph()
        (last,) = (asset for asset in graph.get_all_asset_keys() if asset.path[-1] == to)
        selection = sorted(dg.AssetSelection.assets(last).upstream().resolve(graph))
    return lineage_job(defs).execute_in_process(
        partition_key=key,
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=selection,
        raise_on_error=raise_on_error,
    )


def lineage_job(defs: dg.Definitions) -> dg.JobDefinition:
    """Return the job over all assets of the one study of a code location."""
    (name,) = (job.name for job in defs.jobs or () if job.name.endswith("_lineage"))
    return defs.resolve_job_def(name)


def asset_key(asset: str, study: str = "tiny") -> dg.AssetKey:
    """Return the key of a study's asset."""
    return dg.AssetKey([study, asset])
