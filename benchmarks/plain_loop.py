"""A plain PyTorch training loop in the style of the field's code: the rival of benchmarks/training.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from engine.training.setup import TrainingSetup


class Photos(Dataset):
    """Decodes an image file and transforms it, each time it is asked for."""

    def __init__(self, paths: list[Path], target: list[int], setup: TrainingSetup) -> None:
        self.paths, self.target = paths, target
        size, config = setup.model.image_size, setup.config.augment
        self.transform = T.Compose(
            [
                T.Resize((size, size), interpolation=T.InterpolationMode.BICUBIC),
                T.RandomHorizontalFlip(config.flip),
                T.Pad(config.pad),
                T.RandomCrop((size, size)),
                T.ToTensor(),
                T.Normalize(setup.model.mean, setup.model.std),
                T.RandomErasing(config.erase, scale=(0.02, 0.4)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.open(self.paths[index]).convert("RGB")), self.target[index]


class Batches:
    """The same PK batches as ours, `steps` of them from `first` on."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup, self.first, self.steps = setup, 0, 0

    def __iter__(self) -> Iterator[list[int]]:
        return (self.setup.sampler.batch(step).tolist() for step in range(self.first, self.first + self.steps))


class PlainLoop:
    """Adam, float32 or AMP, losses read back at every step. Workers stay between epochs, which favours it."""

    def __init__(self, setup: TrainingSetup, workers: int, amp: bool) -> None:
        self.device, self.amp = setup.device.torch, amp
        self.model = setup.model.to(memory_format=torch.contiguous_format).train()
        classes = len(setup.split.classes)
        self.classifiers = nn.ModuleList(nn.Linear(dim, classes, bias=False) for dim in setup.model.dims)
        self.classifiers.to(self.device)
        weights = [*self.model.parameters(), *self.classifiers.parameters()]
        self.optimizer = torch.optim.Adam([w for w in weights if w.requires_grad], lr=setup.config.train.lr)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp and self.device.type == "cuda")
        self.half = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        images = [setup.split.images[image] for image in setup.train.tolist()]
        photos = Photos([setup.split.root / image.path for image in images], setup.target.tolist(), setup)
        self.batches = Batches(setup)
        self.loader = DataLoader(
            photos,
            batch_sampler=self.batches,  # type: ignore[arg-type]
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        self.ready: tuple[Tensor, Tensor] | None = None

    def train(self, steps: int) -> None:
        self.batches.first, self.batches.steps = self.batches.first + self.batches.steps, steps
        for images, target in self.loader:
            self._step(images.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True))

    def train_ready(self, steps: int) -> None:
        """The same steps on one batch that lies on the device: what is left when input costs nothing."""
        if self.ready is None:
            self.batches.steps = 1
            images, target = next(iter(self.loader))
            self.ready = images.to(self.device), target.to(self.device)
        for _ in range(steps):
            self._step(*self.ready)

    def _step(self, images: Tensor, target: Tensor) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False  # PyTorch's default, which ours changes
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.amp):
            features = self.model(images)
            id_loss = triplet_loss = 0.0
            for each, classifier in zip(features, self.classifiers, strict=True):
                id_loss += F.cross_entropy(classifier(each.after), target, label_smoothing=0.1) / len(features)
                triplet_loss += triplet(each.before, target) / len(features)
            loss = id_loss + triplet_loss
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        loss.item()


def triplet(features: Tensor, target: Tensor, margin: float = 0.3) -> Tensor:
    """Batch-hard triplet, from the whole matrix of distances."""
    norms = features.float().pow(2).sum(dim=1, keepdim=True)
    distances = (norms + norms.T - 2 * features.float() @ features.float().T).clamp(min=1e-12).sqrt()
    same = target[:, None] == target[None, :]
    positive = distances.masked_fill(~same, 0).max(dim=1).values
    negative = distances.masked_fill(same, float("inf")).min(dim=1).values
    return F.margin_ranking_loss(negative, positive, torch.ones_like(negative), margin=margin)
