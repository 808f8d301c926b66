"""PK batches: P identities, K images of each, from nothing but seed and step."""

import pytest
import torch

from engine.data.sampler import PKSampler


def classes(*sizes: int) -> torch.Tensor:
    return torch.cat([torch.full((size,), number) for number, size in enumerate(sizes)])


def test_every_batch_holds_k_images_of_p_identities() -> None:
    target = classes(*[7] * 20)
    sampler = PKSampler(target, ids_per_batch=6, images_per_id=4, seed=1)
    for step in range(50):
        batch = sampler.batch(step)
        _, counts = target[batch].unique(return_counts=True)
        assert counts.tolist() == [4] * 6
        assert len(batch.unique()) == 24  # seven images each: none twice


def test_an_identity_with_fewer_than_k_images_gives_all_before_one_repeats() -> None:
    target = classes(2, 1, 9)
    sampler = PKSampler(target, ids_per_batch=3, images_per_id=5, seed=0)
    batch = sampler.batch(3)
    own = batch[target[batch] == 0]
    assert sorted(own.unique(return_counts=True)[1].tolist()) == [2, 3]
    assert (target[batch] == 1).sum() == 5


def test_identities_come_up_equally_often() -> None:
    target = classes(*[4] * 10)
    sampler = PKSampler(target, ids_per_batch=5, images_per_id=2, seed=0)
    seen = torch.cat([target[sampler.batch(step)] for step in range(40)])
    assert seen.bincount().tolist() == [40] * 10


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    target = classes(*[5] * 12)
    one, other = (PKSampler(target, 4, 4, seed=7) for _ in range(2))
    for step in range(5):
        one.batch(step)  # what was drawn before must not matter
    assert torch.equal(one.batch(9), other.batch(9))
    assert not torch.equal(other.batch(9), PKSampler(target, 4, 4, seed=8).batch(9))
    assert not torch.equal(other.batch(9), other.batch(10))


@pytest.mark.parametrize(("images", "steps"), [(890, 14), (35, 1), (64, 1), (96, 2)])
def test_an_epoch_sees_about_as_many_images_as_there_are(images: int, steps: int) -> None:
    target = torch.arange(images) % 17
    assert PKSampler(target, 16, 4, seed=0).steps_per_epoch == steps
