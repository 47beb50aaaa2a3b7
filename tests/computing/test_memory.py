import os
import threading

import pytest

from ndtools.computing import memory
from ndtools.computing.memory import MemoryGate, free_memory, prepare_allocator, require_memory
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


class _Library:
    """A C library that remembers the settings of its allocator."""

    def __init__(self):
        self.settings = {}

    def mallopt(self, name, value):
        self.settings[name] = value


def test_large_tensors_get_memory_of_their_own(monkeypatch):
    library = _Library()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(os, "environ", {})
    prepare_allocator()
    assert os.environ == {"THP_MEM_ALLOC_ENABLE": "1"}
    assert library.settings == {-3: 2**23}  # M_MMAP_THRESHOLD


def test_the_environment_decides_how_memory_is_allocated(monkeypatch):
    library = _Library()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: library)
    given = {"THP_MEM_ALLOC_ENABLE": "0", "MALLOC_MMAP_THRESHOLD_": "131072"}
    monkeypatch.setattr(os, "environ", dict(given))
    prepare_allocator()
    assert os.environ == given
    assert library.settings == {}


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    monkeypatch.setattr(os, "environ", {})
    prepare_allocator()
