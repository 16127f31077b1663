"""What the lineage asks of engine `none`."""

from typing import Literal

from firefusion_assets.engines.unpainted import Unpainted


class NoGenerator(Unpainted):
    """Nothing is added: the controls."""

    engine: Literal["none"] = "none"
    """Which generator paints."""
    repeat_fire: bool = True
    """Whether batches show real fire where other configs show paint, so that all learn from as much fire; otherwise the
    patches come as they are, all of them equally often."""

    def repeats_fire(self) -> bool:
        """Return the setting."""
        return self.repeat_fire
