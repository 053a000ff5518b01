"""The processes that train one network together, as `torchrun` starts them; without it there is one alone.

Each rank computes the loss of its share of a batch, divided by the labels of the whole batch, and `add_up` adds the
gradients of all ranks. The sum is the gradient of the joint batch, however unequal the shares are. PyTorch's
DistributedDataParallel averages over ranks instead, which weighs labels by the size of their share unless each loss is
corrected; and it wraps the network, whose methods and compiled form the engine uses. What it gains, sending gradients
while others are still computed, is little with networks of this size.

The bits of the sum depend on the number of ranks, not on the run: gloo and NCCL add in an order that follows from the
number of ranks, and all ranks get the same bits.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil

from MLOps.errors import UserError, one_line

# Imported where ranks join, because the stages of predictors that are no networks do without PyTorch.
if TYPE_CHECKING:
    import torch

T = TypeVar("T")

WATCH_S = 0.2  # between looks at whether `torchrun` still runs


@contextmanager
def joined() -> Iterator[None]:
    """Join the other ranks that `torchrun` has started, until the block ends; without `torchrun` do nothing.

    Tensors on the CPU are sent by gloo, those on a GPU by NCCL; each rank has a GPU of its own.

    Raises:
        UserError: there are fewer GPUs than ranks.
    """
    if not launched():
        yield
        return
    import torch
    from torch import distributed

    _end_with_torchrun()
    one_machine = os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]
    if one_machine:
        # gloo takes the interface of the host's name, which other machines may reach, and it has no login.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
    if os.environ["RANK"] != "0":
        # Several displays would overwrite each other; with this, `rich` takes standard error for no terminal.
        os.environ["TTY_COMPATIBLE"] = "0"
    store, number, total = next(distributed.rendezvous("env://"))
    if one_machine:
        # `torchrun --max-restarts` keeps its store, where ranks would find the addresses of those that were killed. On
        # several machines restarts are counted apart, so that the number tells nothing; there the commands are given
        # again.
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = "gloo"
    if torch.cuda.is_available():
        local, here, gpus = int(os.environ["LOCAL_RANK"]), os.environ["LOCAL_WORLD_SIZE"], torch.cuda.device_count()
        if local >= gpus:
            raise UserError(
                f"ranks: expected a GPU for each of the {here} processes, found {gpus}; lower --nproc-per-node, or set "
                "CUDA_VISIBLE_DEVICES= to train on the CPU"
            )
        # What is sent to `cuda` from now on goes there.
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, store=store, rank=number, world_size=total)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def launched() -> bool:
    """Whether `torchrun` has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def size() -> int:
    """The number of ranks."""
    return 1 if (group := _group()) is None else group.get_world_size()


def rank() -> int:
    """The number of this process, from 0; rank 0 alone writes and reports."""
    return 0 if (group := _group()) is None else group.get_rank()


def share(batch: np.ndarray) -> np.ndarray:
    """The part of a batch that this rank computes; empty if the batch has fewer entries than there are ranks."""
    return batch[rank() :: size()]


def add_up(tensors: "Sequence[torch.Tensor]") -> None:
    """Replace each tensor by its sum over all ranks; all are sent as one."""
    if (group := _group()) is None:
        return
    import torch

    joint = torch.cat([tensor.flatten() for tensor in tensors])
    with _all_present():
        group.all_reduce(joint)
    for tensor, part in zip(tensors, joint.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in rank 0, where alone it is called, in every rank."""
    if (group := _group()) is None:
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    with _all_present():
        group.broadcast_object_list(made)
    found: T = made[0]
    return found


def _group() -> Any:
    """torch.distributed if this process has joined others, else None."""
    distributed = sys.modules.get("torch.distributed")
    return distributed if distributed is not None and distributed.is_initialized() else None


@contextmanager
def _all_present() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # What gloo says begins with a place in its source.
        reason = one_line(re.sub(r"^\[\S+\] ", "", str(error)), 80)
        raise UserError(
            f"ranks: rank {rank()} expected an answer of all {size()} processes, one is gone: {reason}; run the same "
            "command again, which resumes the training"
        ) from error


def _loopback() -> str:
    addresses = psutil.net_if_addrs()
    return next((name for name, own in addresses.items() if any(one.address == "127.0.0.1" for one in own)), "lo")


def _end_with_torchrun() -> None:
    """Let this process end when `torchrun` is killed; the next one would train beside it."""
    torchrun = os.getppid()

    def wait() -> None:
        while os.getppid() == torchrun:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
