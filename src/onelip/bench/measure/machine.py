"""The machine that a record comes from: processor, device, threads and versions.

Records are published, so nothing here names a host, a user or a path.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from onelip.bench.origin import Machine
from onelip.errors import OnelipError, UnknownNameError

PACKAGE = Path(__file__).resolve().parents[2]
CPUINFO = Path("/proc/cpuinfo")
GIT_SECONDS = 10.0
"""Patience with git, which may have to wait for a slow disk."""


def find_device(device: torch.device | str) -> torch.device:
    """The device of that name, if it can be measured on and is there.

    Args:
        device: "cpu", "cuda", "cuda:1" and so on.

    Raises:
        UnknownNameError: For a device that is neither a processor nor a CUDA device.
        OnelipError: For a CUDA device that this machine lacks.
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise UnknownNameError(f"device is {str(device)!r}, must be 'cpu', 'cuda' or 'cuda:N'")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise OnelipError(f"device is {str(device)!r}, but PyTorch sees no CUDA device here; use 'cpu'")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise OnelipError(f"device is {str(device)!r}, must be below 'cuda:{torch.cuda.device_count()}' here")
    return found


def describe_machine(device: torch.device | str) -> Machine:
    """What a record says of the machine that it was made on.

    Args:
        device: The device that was measured.

    Returns:
        The description; `cores` are those that this process may use, `memory_bytes` is the main memory, and `commit`
        ends in "-dirty" if the package differs from that commit.
    """
    device = find_device(device)
    processor = _processor()
    return Machine(
        processor=processor,
        cores=_usable_cores(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory_bytes(),
        device=device.type,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
        system=f"{platform.system()} {platform.machine()}".strip(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        onelip=_version("onelip"),
        commit=_commit(PACKAGE),
    )


def memory_of(device: torch.device) -> int:
    """Bytes of a device's memory: for a processor the main memory."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return _memory_bytes()


def source_digest() -> str:
    """Tells apart what onelip's own source was when a time was taken, committed or not."""
    files = sorted(PACKAGE.rglob("*.py"))
    texts = (f"{file.relative_to(PACKAGE).as_posix()}\0".encode() + file.read_bytes() for file in files)
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def gpu_libraries(device: torch.device) -> str:
    """Versions that decide how fast a GPU is; empty for a CPU."""
    if device.type != "cuda":
        return ""
    return f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def _processor() -> str:
    """The processor's marketing name where Linux tells it, otherwise its architecture."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == "model name"]
    return next(filter(None, names), "") or platform.processor() or platform.machine() or "unknown"


def _usable_cores() -> int:
    """Cores that the scheduler grants this process; containers and `taskset` grant fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory_bytes() -> int:
    """Installed main memory."""
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return 1024 * kilobytes.value
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str:
    """The installed version of a package; a copied source tree has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _commit(package: Path) -> str | None:
    """The commit that the package's source is checked out from, or None if it is not a checkout.

    A package installed inside someone else's checkout is not tracked there, and their commit would say nothing.
    """
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    status = _git(package, "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", ".")
    if tracked is None or status is None:
        return None
    header = [line for line in status.splitlines() if line.startswith("#")]
    changed = len(header) < len(status.splitlines())
    commit = next((line.removeprefix("# branch.oid ") for line in header if line.startswith("# branch.oid ")), "")
    if not commit or commit == "(initial)":
        return None
    return commit + "-dirty" * changed


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers, or None where it fails or is missing."""
    # A hook that runs the tests sets GIT_DIR and others, which would point git elsewhere.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return answer.stdout
