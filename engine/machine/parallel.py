"""One run on several processes, a GPU each, started by PyTorch's torchrun; the same result as one process.

Each process encodes its share of the batch. The features are gathered with their gradients, so every process computes
the loss over the whole batch: triplets, necks and classifiers see what a single process would.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from engine.contract.errors import UserError

AGREE_EVERY = 8  # steps: asking all whether to stop makes them wait for each other


@dataclass(frozen=True)
class Workers:
    """The processes of this run; `rank` 0 is the main one, which alone validates, writes events and checkpoints."""

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        return self.rank == 0

    def check(self, batch: int) -> None:
        """Raises UserError where a batch of so many images cannot be divided evenly."""
        if batch % self.size:
            raise UserError(
                f"{self.size} GPUs cannot share a batch of {batch} images evenly: "
                f"choose another number of GPUs, or identities a batch so that it is a multiple of {self.size}.",
                "train.ids_per_batch",
            )

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch [B, …]; B must be a multiple of the number of processes."""
        return batch.chunk(self.size)[self.rank] if self.size > 1 else batch

    def wrap(self, encoder: nn.Module, compiled: bool) -> nn.Module:
        """The encoder as the steps call it, its gradients averaged over the processes.

        The gather's backward pass adds up the gradient of each process's copy of the loss: times the number of
        processes. The average takes that back, and what is left is the sum over the shares.
        """
        if self.size > 1 and next(encoder.parameters()).is_cuda:
            encoder = nn.SyncBatchNorm.convert_sync_batchnorm(encoder)
        if compiled:  # not in place: evaluation is short, and would be compiled for itself
            encoder = cast(nn.Module, torch.compile(encoder))
        learns = any(weight.requires_grad for weight in encoder.parameters())
        return DistributedDataParallel(encoder) if self.size > 1 and learns else encoder

    def gather(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """The features [B / size, D] of all processes as [B, D], in the order of the batch."""
        if self.size == 1:
            return list(features)
        return [torch.cat(all_gather(feature.float().contiguous())) for feature in features]

    def take_over(self, values: list[Tensor]) -> None:
        """Make these values, in place, those of the main process: work that each did alone may differ in rounding."""
        if self.size > 1:
            for value in values:
                dist.broadcast(value, 0)

    def agree(self, wish: bool, step: int, device: torch.device) -> bool:
        """Whether any process wishes to stop; all answer alike, so that none waits for one that left."""
        if self.size == 1:
            return wish
        if step % AGREE_EVERY:
            return False
        flag = torch.tensor(float(wish), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())


def join_workers() -> Workers:
    """Join the other processes of the run where torchrun started several."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Workers()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(dist.destroy_process_group)
    return Workers(dist.get_rank(), size)
