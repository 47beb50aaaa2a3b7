"""Names of the processor and of the device that computes, for the records of long runs."""

import os
import platform

import torch

__all__ = ["hardware"]


def hardware(device: torch.device) -> dict[str, str | int]:
    """Return the name of a device, the name of the machine's processor, and the number of its cores.

    Parameters
    ----------
    device : torch.device
        Device that computes.

    Returns
    -------
    dict
        Entries ``device`` (such as "cuda"), ``name`` (of that device), ``processor`` and ``cores``.
    """
    processor = _processor()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    return {"device": str(device), "name": name, "processor": processor, "cores": os.cpu_count() or 1}


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:  # no Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()
