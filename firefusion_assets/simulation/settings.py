"""What simulated scenes depend on."""

from pydantic import Field

from firefusion_assets.study.source import LandsatSource


class SimulationSettings(LandsatSource):
    """Scenes to simulate."""

    scenes: int = Field(12, ge=1, le=100)
    """Number of scenes."""
    patches_per_scene: int = Field(16, ge=1)
    """Patches cut from each scene."""
    fire_share: float = Field(0.4, ge=0, le=1)
    """Share of patches with a fire."""
    seed: int = 187
    """Seed of everything in the scenes."""
