import os
import platform
import subprocess
import sys
import threading

import pytest

from ndtools.computing import memory
from ndtools.computing.memory import MemoryGate, free_memory, keep_freed_memory, require_memory
from ndtools.errors import DataError


def test_the_least_of_what_is_told_counts(monkeypatch):
    for name, size in (("_system_memory", 5), ("_control_group_memory", None), ("_address_space", 3)):
        monkeypatch.setattr(memory, name, lambda size=size: size)
    assert free_memory() == 3
    monkeypatch.setattr(memory, "_address_space", lambda: -7)
    assert free_memory() == 0
    for name in ("_system_memory", "_address_space"):
        monkeypatch.setattr(memory, name, lambda: None)
    assert free_memory() is None
    require_memory(2**60, "nobody knows whether it")


def test_free_memory_of_this_machine():
    free = free_memory()
    assert free is None or 2**20 < free < 2**50


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * 10**9)
    require_memory(2 * 10**9, "x")
    with pytest.raises(DataError, match=r"^x needs about 12 GB of memory, and 2 GB are free$"):
        require_memory(12 * 10**9, "x")


def test_the_gate_keeps_the_sum_below_its_limit():
    gate, lock = MemoryGate(10), threading.Lock()
    held, most, alone = 0, 0, []

    def use(nbytes):
        nonlocal held, most
        with gate.hold(nbytes):
            with lock:
                held += nbytes
                most = max(most, min(held, 10) if nbytes > 10 else held)
                if nbytes > 10:
                    alone.append(held == nbytes)
            threading.Event().wait(0.001)
            with lock:
                held -= nbytes

    threads = [threading.Thread(target=use, args=(nbytes,)) for nbytes in [3, 4, 10, 1, 25, 6] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == 0
    assert most == 10
    assert all(alone)
    assert len(alone) == 20


# Pages that the system has to map while 2 tensors of 32 MiB, which are freed each time, are made 8 times.
_FAULTS = """
import resource
import torch
from ndtools.computing.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**23) + torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
kept = {keep}
faults()
print(int(kept), faults() * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_that_is_kept_is_not_mapped_again():
    clean = {name: value for name, value in os.environ.items() if name not in memory._GIVEN}

    def mapped(keep):
        code = _FAULTS.replace("{keep}", keep)
        run = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
        kept, size = map(int, run.stdout.split())
        return bool(kept), size

    assert mapped("False")[1] > 2**27  # of 2^29 bytes that the tensors and their sums have
    kept, size = mapped("keep_freed_memory()")
    assert kept
    assert size < 2**22


def test_the_allocation_that_the_user_chose_is_left_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert not keep_freed_memory()
