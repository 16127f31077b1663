"""What is trained of a pipeline: the U-Net, adapters in it, or the U-Net with the text encoder; and its loss."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.training_utils import cast_training_params, compute_snr
from torch import Tensor, nn

from firefusion_assets.engines.stable_diffusion.base_model import DTYPES
from firefusion_assets.engines.stable_diffusion.encoded_views import Examples, Noised
from firefusion_assets.engines.stable_diffusion.families import Text, family_of
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator


class Denoiser(nn.Module):
    """U-Net and, where it is trained too, text encoder, as one module.

    Args:
        pipeline: in float32; what isn't trained of the U-Net goes to the training's number format.
        generator: the method.
    """

    def __init__(self, pipeline: DiffusionPipeline, generator: StableDiffusionGenerator) -> None:
        super().__init__()
        self.unet = pipeline.unet
        self._family = family_of(pipeline)
        self.text_encoder = pipeline.text_encoder if generator.train_text_encoder else None
        if generator.method == "lora":
            from peft import LoraConfig

            self.unet.requires_grad_(False)
            self.unet.to(DTYPES[generator.mixed_precision])
            self.unet.add_adapter(
                LoraConfig(
                    r=generator.lora.rank,
                    lora_alpha=generator.lora.alpha,
                    target_modules=list(generator.lora.target_modules),
                    init_lora_weights="gaussian",
                )
            )
            cast_training_params(self.unet, torch.float32)
        if generator.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
            if self.text_encoder is not None:
                self.text_encoder.gradient_checkpointing_enable()
        self.train()

    def trained(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def forward(self, noisy: Tensor, timesteps: Tensor, examples: Examples, text: Text) -> Tensor:
        """Return the prediction (N, 4, r, r).

        Args:
            noisy: latents (N, 4, r, r).
            timesteps: int64 (N,).
            examples: what is known.
            text: token ids (N, T) where the text encoder is trained, else what `Family.encoded` gives, one row each.
        """
        if self.text_encoder is not None:
            text = (self.text_encoder(*text).last_hidden_state,)
        prediction: Tensor = self.unet(**self._family.unet_arguments(noisy, timesteps, examples, text)).sample
        return prediction


class TrainedParameters:
    """What is trained, as a part of a checkpoint: frozen weights are no part of it.

    Args:
        parameters: by name.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = parameters

    def state_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the values over."""
        for name, parameter in self._parameters.items():
            parameter.copy_(state[name])


def denoising_loss(
    denoiser: nn.Module,
    scheduler: Any,
    examples: Examples,
    drawn: Noised,
    text: Text,
    generator: StableDiffusionGenerator,
) -> Tensor:
    """Return the loss of each example (N,): mean squared error of noise or v inside the mask, or everywhere.

    Small fires count as much as large ones: the mean is taken within each example.

    Args:
        denoiser: a `Denoiser`, wrapped or not.
        scheduler: of the pipeline; says what is predicted.
        examples: on the device.
        drawn: on the device.
        text: see `Denoiser.forward`, one row an example.
        generator: `loss_area` and `snr_gamma`.
    """
    noisy = scheduler.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
    predicts_v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(drawn.latents, drawn.noise, drawn.timesteps) if predicts_v else drawn.noise
    predicted = denoiser(noisy, drawn.timesteps, examples, text)
    error = (predicted.float() - target.float()).square().mean(dim=1, keepdim=True)
    weight = examples.mask.float() if generator.loss_area == "edit" else torch.ones_like(error)
    # A mask that lies wholly in nodata has no weight.
    loss: Tensor = (error * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    if generator.snr_gamma is not None:
        snr = compute_snr(scheduler, drawn.timesteps)
        loss = loss * snr.clamp(max=generator.snr_gamma) / (snr + 1 if predicts_v else snr)
    return loss
