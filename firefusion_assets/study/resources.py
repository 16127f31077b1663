"""What the step of each asset asks of the machine that it runs on: one table for all executors."""

from typing import Any

from pydantic import Field, model_validator

from firefusion_assets.study.strict import StrictModel


class StepResources(StrictModel):
    """What one step asks for."""

    cores: int = Field(1, ge=1)
    """CPU cores."""
    memory_gb: float = Field(4, gt=0)
    """Memory in GB."""
    gpus: int = Field(0, ge=0)
    """GPUs; with 0 the step neither asks for one nor waits for one."""

    def __str__(self) -> str:
        return f"cores: {self.cores}, memory_gb: {self.memory_gb:g}, gpus: {self.gpus}"


_LIGHT = StepResources()
_CPU = StepResources(cores=4, memory_gb=16)
_GPU = StepResources(cores=4, memory_gb=16, gpus=1)
_LARGE_GPU = StepResources(cores=4, memory_gb=32, gpus=1)


class Resources(StrictModel):
    """What the step of each asset asks of the executor that runs it, or each of the steps that share an asset.

    Name what is to be another: `trained_unet: {cores: 8, gpus: 2}`. No result depends on it.
    """

    landsat_patches: StepResources = _CPU
    """Reads the raw input, in as many threads or processes as there are cores."""
    scene_split: StepResources = _LIGHT
    """Reads a table."""
    augmentation_config: StepResources = _LIGHT
    """Reads a file."""
    finetuned_model: StepResources = _LARGE_GPU
    """Trains generators; small ones need less."""
    inpainting_masks: StepResources = _CPU
    """Reads the train part."""
    synthetic_images: StepResources = _LARGE_GPU
    """Paints, in a process for each GPU."""
    screened_images: StepResources = _CPU
    """Compares paint with real fires."""
    augmented_lmdb: StepResources = _LIGHT
    """Copies what was accepted."""
    trained_unet: StepResources = _GPU
    """Trains one network a GPU at a time, or without one a network a core."""
    dice_metrics: StepResources = _GPU
    """Predicts the test part."""
    augmentation_report: StepResources = _CPU
    """Reads what all configs made."""
    fire_map: StepResources = _GPU
    """Maps whole scenes, in the job of that name."""

    @model_validator(mode="before")
    @classmethod
    def _what_is_not_named_stays(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        defaults = {name: cls.model_fields[name].default.model_dump() for name in values if name in cls.model_fields}
        return {
            name: {**defaults[name], **value} if name in defaults and isinstance(value, dict) else value
            for name, value in values.items()
        }

    def of(self, step: str) -> StepResources:
        """Return what a step asks for, by the name of its asset or job."""
        resources: StepResources = getattr(self, step)
        return resources

    def most(self) -> StepResources:
        """Return what is enough for each step."""
        steps = [self.of(step) for step in type(self).model_fields]
        return StepResources(
            cores=max(step.cores for step in steps),
            memory_gb=max(step.memory_gb for step in steps),
            gpus=max(step.gpus for step in steps),
        )
