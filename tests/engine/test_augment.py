"""Batched augmentation draws for each image, from the distributions of the per-sample transforms."""

import pytest
import torch
from torchvision.transforms import v2

from engine.contract.config import AugmentConfig
from engine.data.augment import Augmentation, erased_boxes, inside, shift_and_flip
from engine.machine.randomness import generator

OFF = {"flip": 0.0, "pad": 0, "erase": 0.0}
CPU = torch.device("cpu")


def numbered(count: int = 1, size: int = 16) -> torch.Tensor:
    """Images whose value at a place tells the place."""
    rows = torch.arange(size).view(1, size, 1, 1).expand(count, size, size, 1)
    columns = torch.arange(size).view(1, 1, size, 1).expand(count, size, size, 1)
    return torch.cat([rows, columns, torch.zeros_like(rows)], dim=3).to(torch.uint8)


def test_plain_images_are_normalised_as_torchvision_does() -> None:
    images = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8, generator=generator(0))
    mean, std = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
    ours = Augmentation(AugmentConfig(), mean, std, CPU).plain(images)
    theirs = v2.functional.normalize(images.permute(0, 3, 1, 2).float() / 255, mean, std)
    torch.testing.assert_close(ours, theirs)


def test_nothing_configured_changes_nothing() -> None:
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8, generator=generator(0))
    augmentation = Augmentation(AugmentConfig(**OFF), [0.5] * 3, [0.5] * 3, CPU)
    torch.testing.assert_close(augmentation.random(images, generator(1)), augmentation.plain(images))


def test_shifts_are_uniform_and_drawn_for_each_image() -> None:
    shifted = shift_and_flip(numbered(4000), pad=3, flip=0.0, random=generator(0))
    top, left = shifted[:, 8, 8, 0].long() - 8, shifted[:, 8, 8, 1].long() - 8
    for shifts in (top, left):
        share = (shifts + 3).bincount(minlength=7) / 4000
        assert share.numel() == 7
        assert (share - 1 / 7).abs().max() < 0.03
    assert abs(torch.corrcoef(torch.stack([top, left]).float())[0, 1]) < 0.05


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = numbered(2000)
    flipped = shift_and_flip(images, pad=0, flip=0.5, random=generator(0))
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 0.46 < mirrored.float().mean() < 0.54


def test_erased_boxes_follow_random_erasing() -> None:
    ours = inside(erased_boxes(3000, 64, 0.5, generator(0)), 64)
    hit = ours.flatten(1).any(1)
    assert 0.46 < hit.float().mean() < 0.54
    area = ours[hit].flatten(1).float().mean(1)
    torch.manual_seed(0)
    reference = v2.RandomErasing(p=1.0, scale=(0.02, 0.4), value=1)
    theirs = torch.stack([reference(torch.zeros(1, 64, 64)).mean() for _ in range(1500)])
    assert abs(area.mean() - theirs.mean()) < 0.02
    assert abs(area.std() - theirs.std()) < 0.02


def test_rotation_zoom_and_light_stay_within_what_is_configured() -> None:
    images = torch.full((200, 16, 16, 3), 128, dtype=torch.uint8)
    light = Augmentation(AugmentConfig(**OFF, jitter=0.2), [0.5] * 3, [0.5] * 3, CPU)
    change = light.random(images, generator(0)).flatten(1).mean(1) + 1  # 1 is the grey in the middle
    assert change.min() >= 0.8 - 1e-2 and change.max() <= 1.2 + 1e-2
    assert change.std() > 0.05
    turn = Augmentation(AugmentConfig(**OFF, rotate=20, zoom=0.1), [0.5] * 3, [0.5] * 3, CPU)
    turned = turn.random(numbered(50), generator(0))
    assert len(turned.flatten(1).unique(dim=0)) == 50
    middle = turned[:, :2, 7:9, 7:9].mean(dim=(2, 3))
    torch.testing.assert_close(middle, turn.plain(numbered(50))[:, :2, 7:9, 7:9].mean(dim=(2, 3)), atol=0.02, rtol=0)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    images = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=generator(0))
    augmentation = Augmentation(AugmentConfig(rotate=5, jitter=0.1), [0.5] * 3, [0.5] * 3, CPU)
    once, again, later = (augmentation.random(images, generator(3, "augment", step)) for step in (5, 5, 6))
    assert torch.equal(once, again)
    assert not torch.equal(once, later)


@pytest.mark.parametrize("std", [0.27, 1.0])
def test_light_is_changed_before_normalisation_as_torchvision_does(std: float) -> None:
    images = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=generator(0))
    augmentation = Augmentation(AugmentConfig(**OFF, jitter=0.3), [0.4] * 3, [std] * 3, CPU)
    ours = augmentation.random(images, generator(1)) * std + 0.4
    draw = generator(1)
    shift_and_flip(images, 0, 0.0, draw)
    contrast, brightness = (torch.empty(8, 1, 1, 1).uniform_(0.7, 1.3, generator=draw).flatten() for _ in range(2))
    for row in range(8):
        image = images[row].permute(2, 0, 1) / 255
        theirs = v2.functional.adjust_contrast(image, contrast[row].item())
        theirs = v2.functional.adjust_brightness(theirs, brightness[row].item())
        torch.testing.assert_close(ours[row], theirs, atol=2e-3, rtol=0)
