"""Whether fine-tuning at real size fits a GPU: measured where there is one, else by an account of its tensors.

The account runs the trainer's own encoding, network and loss on fake tensors, which have shapes, number formats and
lifetimes but no values: what lives at once is counted, in seconds and without the memory. It can't see CUDA's context,
the workspaces of its libraries and gaps between the allocator's blocks; for these it allows `_UNSEEN_GIB`.
"""

import importlib.util
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
from diffusers import DDIMScheduler
from diffusers.utils import logging as diffusers_logging
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.sd15 import real_networks, save_pipeline
from benchmarks.stable_diffusion import run_trainer
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES
from firefusion_assets.engines.stable_diffusion.encoded_views import Enlarged, Examples, Noised, encode
from firefusion_assets.engines.stable_diffusion.network import Denoiser, denoising_loss
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.study.loading import load_augmentation, load_study
from firefusion_assets_tests.builders.parts import make_part

_DATA: Final = Path(__file__).parents[1] / "data"
_LIMITS_GIB: Final = {
    ("activefire", "sd-lora"): 12,
    ("activefire", "sd-dreambooth-prior"): 24,
    ("thesis", "plain"): 24,
    ("thesis", "prior"): 24,
    ("thesis", "text-encoder"): 24,
}
_UNSEEN_GIB: Final = 1.0
_TEXT_SHAPE: Final = (77, 768)
_PATCH_SIZE: Final = 256


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield the peak in GiB of studies' own settings, against the GPU that it has to fit."""
    diffusers_logging.set_verbosity_error()
    for (study, key), limit in _LIMITS_GIB.items():
        generator = load_augmentation(_DATA / study, key, load_study(_DATA / study)).generator
        if not isinstance(generator, StableDiffusionGenerator):
            raise TypeError(f"{study}/{key} is no config of stable-diffusion")
        print(f"  {study}/{key}: {generator.resolution} px, batch {generator.train_batch_size}")
        parts = account_gib(generator)
        for name, gib in parts.items():
            print(f"    {name}: {gib:.2f} GiB")
        yield f"{study}/{key}: account, GiB (a GPU of {limit})", _peak_gib(parts), limit
        if torch.cuda.is_available():
            if generator.use_8bit_adam and importlib.util.find_spec("bitsandbytes") is None:
                print("    not measured: install the extra adam8bit")
                continue
            yield f"{study}/{key}: measured, GiB (a GPU of {limit})", _measured_gib(generator) + _UNSEEN_GIB, limit


def account_gib(generator: StableDiffusionGenerator) -> dict[str, float]:
    """Return what encoding and training take on the GPU, part by part in GiB; `_peak_gib` puts it together."""
    dtype = DTYPES[generator.mixed_precision]
    with torch.device("meta"):
        networks = SimpleNamespace(**real_networks())
        networks.vae.enable_slicing()  # as `load_base` does
        if not generator.train_text_encoder:
            networks.text_encoder.to(dtype)
        all_weights = sum(_size(network) for network in vars(networks).values())
        denoiser = Denoiser(networks, generator)
    parameters = list(denoiser.trained().values())
    parts = {
        "weights while views are encoded": all_weights,
        "encoding": _encoding_peak(networks.vae, generator.resolution),
        "weights in training": _size(denoiser),
        "optimizer state": sum(_adam_state(parameter, generator.use_8bit_adam) for parameter in parameters),
        "gradients": sum(parameter.nbytes for parameter in parameters),
        "a step's peak with its gradients": _step_peak(denoiser, generator, dtype),
        "the optimizer's temporaries": 0 if generator.use_8bit_adam else sum(p.nbytes for p in parameters),
    }
    return {name: size / 2**30 for name, size in parts.items()}


def _peak_gib(parts: Mapping[str, float]) -> float:
    encoding = parts["weights while views are encoded"] + parts["encoding"]
    resident = parts["weights in training"] + parts["optimizer state"]
    update = parts["gradients"] + parts["the optimizer's temporaries"]
    return max(encoding, resident + max(parts["a step's peak with its gradients"], update)) + _UNSEEN_GIB


def _size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _adam_state(parameter: torch.Tensor, in_8bit: bool) -> float:
    """Return the bytes of Adam's two moments: float32, or 8 bit with a float32 scale for each block of 256 values.

    Tensors of less than 4,096 values stay float32 (Dettmers et al. 2022, arXiv 2110.02861, and bitsandbytes).
    """
    return 2 * parameter.numel() * ((1 + 4 / 256) if in_8bit and parameter.numel() >= 4096 else 4)


def _encoding_peak(vae: nn.Module, resolution: int) -> int:
    def images() -> Iterator[Enlarged]:
        for _ in range(8):  # what `encode` takes at once
            image = torch.empty(3, resolution, resolution)
            yield Enlarged(image, image, torch.empty(1, resolution, resolution, dtype=torch.bool), torch.empty(4, 1, 1))

    with FakeTensorMode():
        _fill(vae)
        with LiveBytes() as live:
            encode(images(), vae, 8)
    return live.peak


def _step_peak(denoiser: Denoiser, generator: StableDiffusionGenerator, dtype: torch.dtype) -> int:
    """Return the most bytes beside weights and optimizer that a batch's forward and backward pass hold at once."""
    scheduler, batch, side = DDIMScheduler(), generator.train_batch_size, generator.resolution // 8
    with FakeTensorMode():
        _fill(denoiser)
        scheduler.alphas_cumprod = torch.empty(1000)
        with LiveBytes() as live:
            loss = torch.zeros(())
            for _ in range(1 if generator.prior_preservation is None else 2):
                latents, mask = torch.empty(batch, 4, side, side), torch.empty(batch, 1, side, side)
                examples = Examples(latents, latents, latents, mask, torch.empty(batch, 4, 1, 1))
                drawn = Noised(latents, latents, torch.zeros(batch, dtype=torch.int64), torch.zeros(batch))
                text = torch.empty(batch, *_TEXT_SHAPE)
                if generator.train_text_encoder:
                    text = torch.zeros(batch, _TEXT_SHAPE[0], dtype=torch.int64)
                with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                    losses = denoising_loss(denoiser, scheduler, examples, drawn, (text,), generator)
                loss = loss + losses.mean()
            del losses
            loss.backward()
    return live.peak


def _fill(module: nn.Module) -> None:
    """Put fake tensors in place of meta ones, and normalise in float32 under autocast, as it is done on CUDA only."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype)
            part.register_parameter(name, nn.Parameter(fake, parameter.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype))
        if isinstance(part, nn.GroupNorm | nn.LayerNorm) and part.weight.dtype == torch.float32:
            part.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made while it is on, and still held.

    Attributes:
        now: bytes held.
        peak: the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do an operation and count what it made."""
        result = function(*args, **(kwargs or {}))
        given = _storages((args, kwargs))
        for address, storage in _storages(result).items():
            if address not in given:  # a view takes nothing
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._freed, storage.nbytes())
        return result

    def _freed(self, size: int) -> None:
        self.now -= size


def _storages(tree: Any) -> dict[int, torch.UntypedStorage]:
    tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
    return {storage._cdata: storage for storage in (tensor.untyped_storage() for tensor in tensors)}


def _measured_gib(generator: StableDiffusionGenerator) -> float:
    """Return what tensors take at most in a short fine-tuning with the settings, GiB."""
    few: dict[str, Any] = {"max_train_steps": 3, "mask_variants": 2, "validation_steps": None}
    if generator.prior_preservation is not None:
        few["prior_preservation"] = generator.prior_preservation.model_copy(update={"num_class_images": 4})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = save_pipeline(folder)
        part = make_part(folder / "patches", _PATCH_SIZE)
        _, peak = run_trainer(generator.model_copy(update={"base_model": str(base), **few}), part, folder / "work")
    return peak
