"""Commands of trainers that have processes of their own: one, or one a device."""

import os
import sys
from pathlib import Path
from typing import Final

from firefusion_assets.core.devices import device_count

COMMAND: Final = ("firefusion_assets.cli", "fine-tune-job")
"""Module and command that run an engine's trainer on a job file."""


def trainer_command(trainer: str, job: Path, *options: str) -> list[str]:
    """Return the command that runs an engine's trainer on every visible GPU, or on the CPU.

    Args:
        trainer: see `Engine.trainer`.
        job: its job file.
        *options: of the command.
    """
    own = [*COMMAND, trainer, str(job), "--parent", str(os.getpid()), *options]
    devices = device_count()
    if devices < 2:
        return [sys.executable, "-m", *own]
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", str(devices))
    # Any free port: two fine-tunings may run on one machine.
    return [sys.executable, "-m", *launcher, "--main_process_port", "0", "-m", *own]
