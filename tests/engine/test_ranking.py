"""Retrieval and verification metrics: the stated definitions, ties and missing matches included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn.functional import normalize

from engine.evaluation import ranking
from engine.evaluation.ranking import Ranking, cmc, rank_queries, summarise, verification

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def random_case(seed: int, queries: int = 23, gallery: int = 61, identities: int = 9, dim: int = 8) -> Case:
    generator = torch.Generator().manual_seed(seed)
    features = normalize(torch.randn(queries + gallery, dim, generator=generator, dtype=torch.float64))
    identity = torch.randint(0, identities, (queries + gallery,), generator=generator)
    return features[:queries], features[queries:], identity[:queries], identity[queries:]


def ranked_as(matches: list[int], length: int) -> Case:
    """One query whose matches stand at the ranks `matches` of a gallery of `length`."""
    angles = torch.linspace(0.1, 1.5, length, dtype=torch.float64)
    gallery = torch.stack([angles.cos(), angles.sin()], dim=1)
    identity = torch.tensor([5 if rank in matches else 100 + rank for rank in range(1, length + 1)])
    return torch.tensor([[1.0, 0.0]], dtype=torch.float64), gallery, torch.tensor([5]), identity


def slow_ranking(query: Tensor, gallery: Tensor, query_identity: Tensor, gallery_identity: Tensor) -> Ranking:
    """The definitions, read aloud: sort the gallery with the matches last among equals, walk down the list."""
    rows = []
    for q, own in zip(query, query_identity, strict=True):
        scores = [round(float(q @ g), 9) for g in gallery]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], bool(gallery_identity[i] == own)))
        hits = [bool(gallery_identity[i] == own) for i in order]
        total, found = sum(hits), 0
        if not total:
            rows.append((0, math.nan, math.nan, math.nan))
            continue
        ap = trapezoid = 0.0
        old_precision = 1.0
        for rank, hit in enumerate(hits, 1):
            found += hit
            if hit:
                ap += found / rank / total
                trapezoid += (old_precision + found / rank) / 2 / total
                last = rank
            old_precision = found / rank
        rows.append((hits.index(True) + 1, ap, trapezoid, total / last))
    rank, *rest = zip(*rows, strict=True)
    return Ranking(torch.tensor(rank), *(torch.tensor(column, dtype=torch.float64) for column in rest))


def assert_same(ours: Ranking, theirs: Ranking) -> None:
    assert ours.rank.tolist() == theirs.rank.tolist()
    for name in ("ap", "ap_trapezoid", "inp"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), equal_nan=True)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_average_precision_is_scikit_learns(seed: int, dtype: torch.dtype) -> None:
    query, gallery, query_identity, gallery_identity = random_case(seed)
    ranking = rank_queries(query.to(dtype), gallery.to(dtype), query_identity, gallery_identity)
    scores, same = (query @ gallery.T).numpy(), (query_identity[:, None] == gallery_identity).numpy()
    for row in range(len(query)):
        if same[row].any():
            assert ranking.ap[row].item() == pytest.approx(average_precision_score(same[row], scores[row]))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_ranking_is_the_slow_obvious_one_with_ties_and_missing_matches(data: st.DataObject) -> None:
    gallery_size, queries = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    identity = st.integers(0, 4)
    # vectors of few values: most galleries hold equal scores
    vector = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3)
    rows = [data.draw(vector) for _ in range(queries + gallery_size)]
    features = normalize(torch.tensor(rows, dtype=data.draw(st.sampled_from([torch.float32, torch.float64]))))
    query_identity = torch.tensor([data.draw(identity) for _ in range(queries)])
    gallery_identity = torch.tensor([data.draw(identity) for _ in range(gallery_size)])
    case = (features[:queries], features[queries:], query_identity, gallery_identity)
    if case[0].dtype == torch.float32:  # the reference rounds its scores, so it needs more digits than float32 has
        reference = slow_ranking(normalize(case[0].double().sign()), normalize(case[1].double().sign()), *case[2:])
    else:
        reference = slow_ranking(*case)
    assert_same(rank_queries(*case), reference)


@pytest.mark.parametrize("seed", range(5))
def test_the_result_does_not_depend_on_the_chunks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(seed)
    expected, expected_verification = slow_ranking(*case), verification(*case)
    for chunk in (1, 61 * 4, 61 * 23):
        monkeypatch.setattr(ranking, "CHUNK", chunk)
        assert_same(rank_queries(*case), expected)
        assert verification(*case) == pytest.approx(expected_verification)


def test_hits_at_ranks_1_3_and_6_give_the_two_published_definitions_their_two_values() -> None:
    ranking = rank_queries(*ranked_as([1, 3, 6], 8))
    assert ranking.rank.tolist() == [1]
    assert ranking.ap.item() == pytest.approx(0.722222, abs=1e-6)
    assert ranking.ap_trapezoid.item() == pytest.approx(0.677778, abs=1e-6)
    assert ranking.inp.item() == pytest.approx(3 / 6)


def test_the_precision_before_a_late_first_hit_is_zero() -> None:
    ranking = rank_queries(*ranked_as([4], 5))
    assert ranking.ap.item() == pytest.approx(1 / 4)
    assert ranking.ap_trapezoid.item() == pytest.approx(1 / 8)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_match_a_query_trapezoid_is_the_mean_of_rank1_and_map(seed: int) -> None:
    query, gallery, query_identity, _ = random_case(seed, gallery=30, identities=30)
    result = summarise(rank_queries(query, gallery, query_identity, torch.arange(30)))
    assert 0 < result["rank1"] < 1 or 0 < result["mAP"] < 1
    assert result["mAP_trapezoid"] == pytest.approx((result["rank1"] + result["mAP"]) / 2)


@pytest.mark.parametrize("dim", [3, 100, 192, 384, 512, 768, 2048])
@pytest.mark.parametrize("noise", [0.0, 1e-7], ids=["constant", "constant up to rounding"])
@pytest.mark.parametrize("value", ["ones", "random"])
@pytest.mark.parametrize("queries", [1, 971])  # products of one row and of many round differently
def test_a_constant_embedding_scores_near_zero(dim: int, noise: float, value: str, queries: int) -> None:
    generator = torch.Generator().manual_seed(dim)
    row = torch.ones(dim) if value == "ones" else torch.randn(dim, generator=generator)
    features = normalize(row * (1 + noise * torch.randn(queries + 50, dim, generator=generator)))
    query_identity = torch.randint(0, 50, (queries,), generator=generator)
    result = summarise(rank_queries(features[:queries], features[queries:], query_identity, torch.arange(50)))
    assert result["mAP"] == pytest.approx(1 / 50)
    assert result["rank1"] == result["rank10"] == 0.0


def test_a_match_ranks_behind_every_equal_score_and_before_every_lower_one() -> None:
    query = torch.tensor([[1.0, 0.0]])
    gallery = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.6, -0.8], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    ranking = rank_queries(query, gallery, torch.tensor([1]), torch.tensor([1, 2, 3, 4, 5, 1]))
    assert ranking.rank.tolist() == [4]  # behind 1.0 and two others of 0.6
    assert ranking.ap.item() == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_a_query_without_a_match_is_left_out_and_counted() -> None:
    query, gallery, query_identity, gallery_identity = random_case(0)
    complete = summarise(rank_queries(query, gallery, query_identity, gallery_identity))
    more = torch.cat([query, query[:3]])
    ranking = rank_queries(more, gallery, torch.cat([query_identity, torch.tensor([77, -4, 99])]), gallery_identity)
    result = summarise(ranking)
    assert ranking.rank[-3:].tolist() == [0, 0, 0]
    assert ranking.ap[-3:].isnan().all() and ranking.ap_trapezoid[-3:].isnan().all() and ranking.inp[-3:].isnan().all()
    assert result.pop("queries_without_match") == complete.pop("queries_without_match") + 3
    assert result == pytest.approx(complete)


def test_where_no_query_has_a_match_the_means_are_nan_not_zero() -> None:
    query, gallery, query_identity, gallery_identity = random_case(0)
    result = summarise(rank_queries(query, gallery, query_identity + 100, gallery_identity))
    assert result.pop("queries_without_match") == len(query)
    assert all(math.isnan(value) for value in result.values())


def test_an_empty_gallery_is_refused() -> None:
    query, gallery, query_identity, gallery_identity = random_case(0)
    with pytest.raises(ValueError, match="at least one"):
        rank_queries(query, gallery[:0], query_identity, gallery_identity[:0])


def test_the_order_of_the_gallery_does_not_matter() -> None:
    query, gallery, query_identity, gallery_identity = random_case(3)
    order = torch.randperm(len(gallery), generator=torch.Generator().manual_seed(0))
    shuffled = rank_queries(query, gallery[order], query_identity, gallery_identity[order])
    assert_same(shuffled, rank_queries(query, gallery, query_identity, gallery_identity))


def test_ranking_leaves_its_arguments_as_they_were() -> None:
    case = random_case(1)
    before = [tensor.clone() for tensor in case]
    rank_queries(*case)
    verification(*case)
    assert all(torch.equal(tensor, old) for tensor, old in zip(case, before, strict=True))


def test_features_that_are_inference_tensors_are_ranked() -> None:
    with torch.inference_mode():
        query, gallery, query_identity, gallery_identity = random_case(1)
    assert_same(
        rank_queries(query, gallery, query_identity, gallery_identity),
        slow_ranking(query, gallery, query_identity, gallery_identity),
    )


def test_cmc_is_the_fraction_of_first_matches_up_to_each_rank() -> None:
    unused = torch.zeros(5, dtype=torch.float64)
    ranking = Ranking(torch.tensor([1, 3, 0, 2, 40]), unused, unused, unused)
    assert cmc(ranking, 4).tolist() == [0.25, 0.5, 0.75, 0.75]


# Verification


def pairs_with(positive: list[float], negative: list[float]) -> Case:
    """One query and a gallery whose cosines to it are `positive` (its identity) and `negative`."""
    cosine = torch.tensor(positive + negative, dtype=torch.float64)
    gallery = torch.stack([cosine, (1 - cosine**2).sqrt()], dim=1)
    identity = torch.tensor([1] * len(positive) + [2] * len(negative))
    return torch.tensor([[1.0, 0.0]], dtype=torch.float64), gallery, torch.tensor([1]), identity


@pytest.mark.parametrize("seed", range(10))
def test_auc_is_scikit_learns(seed: int) -> None:
    query, gallery, query_identity, gallery_identity = random_case(seed)
    same = (query_identity[:, None] == gallery_identity).flatten()
    expected = roc_auc_score(same, (query @ gallery.T).flatten())
    assert verification(query, gallery, query_identity, gallery_identity)["auc"] == pytest.approx(expected)


def test_auc_counts_equal_scores_half_as_scikit_learn_does() -> None:
    positive, negative = [0.5, 0.5, 0.25, 0.75], [0.5, 0.25, 0.0, 0.75, 0.5]
    expected = roc_auc_score([1] * 4 + [0] * 5, positive + negative)
    assert verification(*pairs_with(positive, negative))["auc"] == pytest.approx(expected)


def test_eer_of_cases_done_by_hand() -> None:
    assert verification(*pairs_with([0.9, 0.8], [0.1, 0.2, 0.3]))["eer"] == 0
    assert verification(*pairs_with([0.1, 0.2], [0.8, 0.9]))["eer"] == 1
    # at 0.6 one of four matches is rejected (0.4), one of four others accepted (0.7)
    assert verification(*pairs_with([0.9, 0.8, 0.6, 0.4], [0.7, 0.3, 0.2, 0.1]))["eer"] == pytest.approx(1 / 4)
    # FRR climbs from 0 to 1/2 at 0.4 while FAR is 1/3
    assert verification(*pairs_with([0.9, 0.4], [0.7, 0.3, 0.2]))["eer"] == pytest.approx(1 / 3)
    # everything equal: a coin
    assert verification(*pairs_with([0.5, 0.5], [0.5, 0.5, 0.5]))["eer"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_eer_lies_on_the_roc_curve_where_both_errors_are_equal(seed: int) -> None:
    query, gallery, query_identity, gallery_identity = random_case(seed)
    same = (query_identity[:, None] == gallery_identity).flatten().numpy()
    scores = (query @ gallery.T).flatten().numpy()
    thresholds = np.concatenate([[-2], np.sort(scores), [2]])
    far = np.array([(scores[~same] >= t).mean() for t in thresholds])
    frr = np.array([(scores[same] < t).mean() for t in thresholds])
    eer = verification(query, gallery, query_identity, gallery_identity)["eer"]
    # the step of the staircase that crosses the diagonal: no threshold is better on both sides
    crossing = np.flatnonzero(far - frr <= 0)[0]
    assert min(far[crossing], frr[crossing - 1]) - 1e-12 <= eer <= max(far[crossing - 1], frr[crossing]) + 1e-12
    assert np.interp(0, (frr - far)[crossing - 1 : crossing + 1], far[crossing - 1 : crossing + 1]) == pytest.approx(
        eer
    )


def test_tar_at_far_accepts_at_most_one_in_a_thousand_others() -> None:
    generator = torch.Generator().manual_seed(0)
    negative = torch.rand(2000, generator=generator).mul(0.9).sort(descending=True).values.tolist()
    above_second, at_third, below_third = (negative[1] + negative[2]) / 2, negative[2], negative[2] - 1e-9
    result = verification(*pairs_with([0.95, above_second, at_third, below_third], negative))
    # two of 2,000 may pass: the third is not below the threshold of a match that equals it
    assert result["tar_at_far_1e3"] == pytest.approx(2 / 4)


def test_tar_at_far_rejects_all_where_everything_is_equal() -> None:
    assert verification(*pairs_with([0.5, 0.5], [0.5, 0.5, 0.5]))["tar_at_far_1e3"] == 0


def test_verification_without_pairs_of_both_kinds_is_nan() -> None:
    assert all(math.isnan(value) for value in verification(*pairs_with([0.5], [])).values())
    assert all(math.isnan(value) for value in verification(*pairs_with([], [0.5])).values())
