"""Settings of the methods of fine-tuning that have some of their own."""

from pydantic import Field

from firefusion_assets.study.strict import StrictModel


class PriorPreservation(StrictModel):
    """DreamBooth's prior preservation: the network also learns images of the class that the pretrained model makes."""

    class_prompt: str = Field(min_length=1)
    """Prompt of the class images, for example `satellite imagery`."""
    num_class_images: int = Field(200, ge=1)
    """Class images to make: random masks on fire-free ground of the train part, painted by the pretrained model."""
    prior_loss_weight: float = Field(1.0, gt=0)
    """Weight of their loss."""


class Lora(StrictModel):
    """Low-rank adapters instead of full fine-tuning (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, ge=1)
    """Rank of the update of each target."""
    alpha: int = Field(16, ge=1)
    """The update is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = Field(("to_q", "to_k", "to_v", "to_out.0"), min_length=1)
    """Endings of the names of the layers that get an adapter."""
    merge: bool = True
    """Publish the whole pipeline with the adapters merged in; otherwise the adapters alone."""
