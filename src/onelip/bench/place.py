"""Where a process trains, for other processes of a folder; records never name it."""

from __future__ import annotations

import socket

import torch


def place_of(device: torch.device) -> str:
    """What processes that take time from one another have in common: the host, and for a GPU which one."""
    if device.type != "cuda":
        return f"{socket.gethostname()} {device.type}"
    properties = torch.cuda.get_device_properties(device)
    return f"{socket.gethostname()} {getattr(properties, 'uuid', device)}"
