"""Fine-tuning: one loop that a killed run resumes to the same weights, on one device or several.

What views hold stands in `views`, what is trained in `network`.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any, Final

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from diffusers import DDPMScheduler, DiffusionPipeline
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from filelock import FileLock

from firefusion_assets.core import seeding
from firefusion_assets.core.devices import tensor_float32
from firefusion_assets.core.gpu_usage import own_usage
from firefusion_assets.core.memory import device_memory
from firefusion_assets.core.training_loop import TrainingLoop, write_losses
from firefusion_assets.engines.stable_diffusion.base_model import DTYPES, load_base_of
from firefusion_assets.engines.stable_diffusion.class_images import make_class_images, read_class_images
from firefusion_assets.engines.stable_diffusion.encoded_views import (
    FOLDER,
    Examples,
    ViewStream,
    encode,
    enlarged,
    made_from,
)
from firefusion_assets.engines.stable_diffusion.families import Text, family_of, networks, text_encoders, without_prompt
from firefusion_assets.engines.stable_diffusion.job import FinetuningJob, open_part
from firefusion_assets.engines.stable_diffusion.network import Denoiser, TrainedParameters, denoising_loss
from firefusion_assets.engines.stable_diffusion.pixels import Pixels
from firefusion_assets.engines.stable_diffusion.publishing import publish
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.validation import validation_picture
from firefusion_assets.engines.stable_diffusion.views import FireViews, GroundViews, View

HISTORY_FILE: Final = "history.csv"
LOCK_FILE: Final = "trainer.lock"
TOLD_FILE: Final = "trainer.json"
"""What the trainer tells whoever started it: what it used of the GPU, and facts."""
_TOO_LARGE: Final = "lower generator.train_batch_size and raise gradient_accumulation_steps as much"
_REPORT_EVERY: Final = 25
_EMA_DECAY: Final = 0.9999
_NOT_OF_THE_JOB: Final[dict[str, Any]] = {
    "base": True, "work": True, "statistics": True,
    "generator": {"base_model", "controlnet", "checkpointing_steps", "checkpoints_total_limit"},
}  # fmt: skip
"""What may change between two attempts: paths, and how often a checkpoint is written."""


def finetune(job: FinetuningJob, progress: Callable[[str], None]) -> None:
    """Train, and publish the pipeline and `history.csv` into the job's folder.

    Each optimizer step takes `gradient_accumulation_steps` batches of `train_batch_size`, which the processes share
    out: what a step learns from doesn't depend on their number. Order, noise and timesteps follow from the seed and
    the position, so that a checkpoint needs the step alone to go on with the same draws.

    Raises:
        ValueError: if the batches can't be shared out evenly.
    """
    # The first process paints class images while the others wait, which may take hours.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    precision, tf32 = job.generator.mixed_precision, job.generator.mixed_precision == "tf32"
    accelerator = Accelerator(mixed_precision="no" if tf32 else precision, kwargs_handlers=[patience])
    # A trainer may outlive its killed parent for a moment, and must not write beside the next one.
    with FileLock(job.work / LOCK_FILE) if accelerator.is_main_process else nullcontext(), tensor_float32(tf32):
        accelerator.wait_for_everyone()
        _finetune(job, accelerator, progress)
    accelerator.end_training()


def _finetune(job: FinetuningJob, accelerator: Accelerator, progress: Callable[[str], None]) -> None:
    generator, work, began = job.generator, job.work, time.monotonic()
    rank, n_processes = accelerator.process_index, accelerator.num_processes
    if generator.gradient_accumulation_steps % n_processes:
        raise ValueError(
            f"generator.gradient_accumulation_steps: {generator.gradient_accumulation_steps} batches a step can't be "
            f"shared out over {n_processes} processes; make it a multiple, or use fewer"
        )
    progress(f"fine-tuning on {accelerator.device} in {n_processes} process{'es' if n_processes > 1 else ''}")
    pipeline = load_base_of(generator).to(accelerator.device)
    streams = _encoded(job, pipeline, accelerator, progress)
    *texts, empty = _texts(pipeline, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive_seed(generator.seed, "adapters"))
        denoiser = Denoiser(pipeline, generator)
    parameters = denoiser.trained()
    optimizer = _optimizer(generator, list(parameters.values()))
    average = EMAModel(parameters.values(), decay=_EMA_DECAY) if generator.use_ema else None
    parts = {
        "parameters": TrainedParameters(parameters),
        "optimizer": optimizer,
        "average": average,
        "scaler": accelerator.scaler,
    }
    loop = TrainingLoop(
        work,
        job.model_dump_json(exclude=_NOT_OF_THE_JOB),
        generator.max_train_steps,
        {name: part for name, part in parts.items() if part is not None},
        schedule=get_scheduler(
            generator.lr_scheduler,
            optimizer,
            num_warmup_steps=generator.lr_warmup_steps,
            num_training_steps=generator.max_train_steps,
        ),
        average=None if average is None else lambda step: average.step(parameters.values()),
        keep=generator.checkpoints_total_limit,
        saves=accelerator.is_main_process,
        remedy="lower generator.learning_rate, or use mixed_precision bf16",
        progress=progress,
    )
    if average is not None:  # it keeps what a checkpoint gives it where that lies
        average.to(device=accelerator.device)
    model, prepared = accelerator.prepare(denoiser, optimizer)
    # The base model may name a sampler that adds noise in another scale; training is always DDPM's.
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)

    n_timesteps = scheduler.config.num_train_timesteps
    batch_size, batches = generator.train_batch_size, generator.gradient_accumulation_steps
    own_batches = range(rank, batches, n_processes)

    def backward(step: int, parts: Sequence[slice]) -> torch.Tensor:
        """Return the loss of this process's batches of a step, gone through in parts."""
        prepared.zero_grad()  # of an attempt that memory ran out in
        total = torch.zeros((), device=accelerator.device)
        for number, part in product(own_batches, parts):
            first = (step * batches + number) * batch_size
            loss = torch.zeros((), device=accelerator.device)
            with nullcontext() if (number, part) == (own_batches[-1], parts[-1]) else accelerator.no_sync(model):
                for (stream, weight), text in zip(streams, texts, strict=True):
                    # Draws belong to places, so that a part has those of the whole.
                    places = range(first, first + batch_size)[part]
                    examples, noised = stream.batch(places.start, len(places), n_timesteps, accelerator.device)
                    text = without_prompt(text, empty, noised.dropping < generator.prompt_dropout)
                    losses = denoising_loss(model, scheduler, examples, noised, text, generator)
                    loss = loss + weight * losses.sum() / batch_size
                accelerator.backward(loss * n_processes / batches)  # gradients are averaged over the processes
            total += loss.detach() / batches
        return total

    for step in loop:
        if n_processes == 1:
            total = loop.parts.work(batch_size, partial(backward, step))
        else:  # the others wait for gradients of as many parts
            with device_memory(_TOO_LARGE):
                total = backward(step, [slice(None)])
        accelerator.clip_grad_norm_(parameters.values(), generator.max_grad_norm)
        prepared.step()
        prepared.zero_grad()
        loop.stepped(accelerator.reduce(total))
        if accelerator.is_main_process:
            _after_step(job, pipeline, loop)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if average is not None:
            average.copy_to(parameters.values())
        publish(pipeline, generator, work)
        write_losses(work / HISTORY_FILE, loop.losses)
        used = own_usage((time.monotonic() - began) * n_processes)
        (work / TOLD_FILE).write_text(json.dumps({"gpu": used, "facts": loop.parts.facts}))


def _encoded(
    job: FinetuningJob,
    pipeline: DiffusionPipeline,
    accelerator: Accelerator,
    progress: Callable[[str], None],
) -> list[tuple[ViewStream, float]]:
    """Return what is learned, encoded, with its weight in the loss; frees the VAE's memory."""
    generator, train = job.generator, open_part(job)
    stretch = Pixels.read(job.work).stretch
    factor = generator.resolution // generator.window(train.meta.patch_size)
    (job.work / FOLDER).mkdir(exist_ok=True)
    job_text = job.model_dump_json(exclude=_NOT_OF_THE_JOB)
    fires, prior = FireViews(train, generator), generator.prior_preservation
    trained = [pipeline.unet, *(text_encoders(pipeline) if generator.train_text_encoder else ())]
    for network in networks(pipeline):
        if network not in trained:
            network.requires_grad_(False).to(DTYPES[generator.mixed_precision])

    def stream(name: str, views: Callable[[], Iterator[View]]) -> ViewStream:
        """The first process encodes, once for all attempts."""
        file = job.work / FOLDER / f"{name}.safetensors"
        if accelerator.is_main_process and made_from(file) != job_text:
            images = (enlarged(view, stretch, factor) for view in views())
            encode(images, pipeline.vae, pipeline.vae_scale_factor).write(file, job_text)
            progress(f"encoded the views of {name}")
        accelerator.wait_for_everyone()
        return ViewStream(Examples.read(file), generator.seed, name)

    streams = [(stream("fires", lambda: map(fires.__getitem__, range(len(fires)))), 1.0)]
    if prior is not None:
        ground = GroundViews(train, generator, prior.num_class_images)

        def class_views() -> Iterator[View]:
            with accelerator.autocast():
                make_class_images(pipeline, ground, prior, stretch, factor, generator.seed, job.work, progress)
            return read_class_images(ground, job.work)

        streams.append((stream("class", class_views), prior.prior_loss_weight))
    pipeline.vae.to("cpu")
    return streams


def _texts(pipeline: DiffusionPipeline, generator: StableDiffusionGenerator) -> list[Text]:
    """Return what stands for each stream's prompt, and last for none: token ids, or frozen encoders' embeddings."""
    prior = generator.prior_preservation
    prompts = [generator.instance_prompt, *([] if prior is None else [prior.class_prompt]), ""]
    if generator.train_text_encoder:
        tokenizer = pipeline.tokenizer
        settings = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
        tokens = [tokenizer(prompt, return_tensors="pt", **settings).input_ids for prompt in prompts]
        return [(ids.to(pipeline.device),) for ids in tokens]
    with torch.no_grad():
        embedded = [family_of(pipeline).encoded(prompt) for prompt in prompts]
    for encoder in text_encoders(pipeline):
        encoder.to("cpu")
    return embedded


def _optimizer(generator: StableDiffusionGenerator, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if generator.use_8bit_adam:
        from bitsandbytes.optim import AdamW8bit

        optimizer: torch.optim.Optimizer = AdamW8bit(parameters, lr=generator.learning_rate)
        return optimizer
    return torch.optim.AdamW(parameters, lr=generator.learning_rate, fused=parameters[0].is_cuda)


def _after_step(job: FinetuningJob, pipeline: DiffusionPipeline, loop: TrainingLoop) -> None:
    """Report, look and save, where it is time to."""
    generator, step = job.generator, loop.step
    if loop.due(_REPORT_EVERY):
        loop.report(loop.mean_loss(since=max(0, step - _REPORT_EVERY)))
    if generator.validation_steps is not None and step % generator.validation_steps == 0:
        loop.picture("validation", validation_picture(pipeline, job, step))
    if step % generator.checkpointing_steps == 0 and step < generator.max_train_steps:
        loop.save()
