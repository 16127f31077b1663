"""Commands of trainers that have processes of their own: one, or one a device."""

import os
import sys

from firefusion_assets.core.devices import device_count


def trainer_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module on every visible GPU, or on the CPU.

    Args:
        module: a module that takes ``--parent``, the process id that it ends with.
        *arguments: what it takes before that.
    """
    own = [module, *arguments, "--parent", str(os.getpid())]
    devices = device_count()
    if devices < 2:
        return [sys.executable, "-m", *own]
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", str(devices))
    # Any free port: two fine-tunings may run on one machine.
    return [sys.executable, "-m", *launcher, "--main_process_port", "0", "-m", *own]
