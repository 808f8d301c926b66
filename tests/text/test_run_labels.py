"""The label of a run among others: the combination and what differs, the same words on every screen and in print."""

from __future__ import annotations

from handreid_tui.text.run_labels import Subject, labels, show


def triplet(margin: float = 0.3, lr: float = 1e-3, **more: object) -> dict[str, object]:
    return {"loss.ce.weight": 1.0, "loss.triplet.weight": 1.0, "loss.triplet.margin": margin, "train.lr": lr} | more


def test_runs_of_one_combination_are_told_apart_by_what_differs() -> None:
    found = labels({margin: Subject("ce_triplet", triplet(margin), seed=0) for margin in (0.3, 0.5, 0.7)})
    assert list(found.values()) == ["ce_triplet m=0.3 s0", "ce_triplet m=0.5 s0", "ce_triplet m=0.7 s0"]


def test_what_all_share_and_what_another_combination_has_is_left_out() -> None:
    found = labels({"a": Subject("ce_triplet", triplet(lr=1e-4)), "b": Subject("ce", {"train.lr": 1e-3})})
    assert found == {"a": "ce_triplet", "b": "ce"}


def test_the_fewest_settings_are_named() -> None:
    runs = {
        n: Subject("ce_triplet", triplet(lr=lr, **{"model.name": model, "train.epochs": epochs}))
        for n, (lr, model, epochs) in enumerate([(1e-3, "tiny", 5), (1e-4, "ViT-B-16", 60), (1e-4, "ViT-B-16", 30)])
    }
    assert list(labels(runs).values()) == ["ce_triplet epochs=5", "ce_triplet epochs=60", "ce_triplet epochs=30"]


def test_an_option_that_two_terms_have_is_named_with_its_term() -> None:
    runs = {weight: Subject("ce_triplet", triplet(**{"loss.triplet.weight": weight})) for weight in (0.5, 2.0)}
    assert list(labels(runs).values()) == ["ce_triplet triplet.w=0.5", "ce_triplet triplet.w=2"]


def test_a_name_that_the_user_gave_comes_first() -> None:
    assert labels({1: Subject("ce", {}, "my best", 3)}) == {1: "my best ce s3"}


def test_values_are_short() -> None:
    assert [show(value) for value in (1e-4, 0.0005, 0.5, 64, True, [1, 2], "/data/11k/")] == [
        "1e-4", "5e-4", "0.5", "64", "yes", "[1,2]", "11k",
    ]  # fmt: skip


def test_a_rate_of_the_first_stage_is_told_from_that_of_the_training() -> None:
    runs = {n: Subject("clip_reid", {"train.lr": 1e-3, "prompts.lr": rate}) for n, rate in enumerate((1e-3, 1e-4))}
    assert list(labels(runs).values()) == ["clip_reid prompts.lr=1e-3", "clip_reid prompts.lr=1e-4"]
