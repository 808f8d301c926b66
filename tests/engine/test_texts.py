"""Images against texts: the losses in float64 against other implementations, and prompts against open_clip itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.reducers import MeanReducer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from engine.contract.config import ModelConfig, PromptConfig
from engine.contract.errors import UserError
from engine.contract.models import OWN_CONFIGS
from engine.contract.texts import check_texts, text_settings
from engine.losses import ImageToText, Inversion
from engine.losses.contrast import image_text_contrast
from engine.model.prompts import IDENTITY, INVERTED, Prompts, templates_of
from engine.model.text_tower import PromptEncoder, open_text_tower
from engine.training.prompt_learning import batches, prompt_batch, prompt_rate

LABELS = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4])
TINY = ModelConfig(name="handreid-tiny", pretrained="none")


def features(count: int, dim: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The losses


@pytest.mark.parametrize("scale", [0.0, 12.0])
def test_the_contrast_is_the_papers_formula(scale: float) -> None:
    v, t = features(8, seed=1).requires_grad_(), features(8, seed=2).requires_grad_()
    ours = image_text_contrast(v, t, LABELS, scale)
    logits = scale * normalize(v) @ normalize(t).T if scale else v @ t.T
    for value, of in zip(ours, (logits, logits.T), strict=True):
        rows = []
        for i in range(8):
            own = [j for j in range(8) if LABELS[j] == LABELS[i]]
            rows.append(-torch.stack([of[i, j] - of[i].logsumexp(0) for j in own]).mean())
        torch.testing.assert_close(value, torch.stack(rows).mean())


def test_the_contrast_is_the_oracles_in_value_and_gradient() -> None:
    oracle = SupConLoss(temperature=1, distance=DotProductSimilarity(normalize_embeddings=False), reducer=MeanReducer())
    v, t = features(8, seed=1).requires_grad_(), features(8, seed=2).requires_grad_()
    ours = image_text_contrast(v, t, LABELS)
    same = LABELS.clone()  # the same object would leave the diagonal out
    theirs = oracle(v, LABELS, ref_emb=t, ref_labels=same), oracle(t, LABELS, ref_emb=v, ref_labels=same)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
        for one, two in zip(
            torch.autograd.grad(mine, (v, t), retain_graph=True),
            torch.autograd.grad(other, (v, t), retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(one, two)


def test_with_one_image_of_each_identity_it_is_the_cross_entropy_of_rows_and_columns() -> None:
    v, t = features(8, seed=1), features(8, seed=2)
    own = torch.arange(8)
    i2t, t2i = image_text_contrast(v, t, own)
    torch.testing.assert_close(i2t, cross_entropy(v @ t.T, own))
    torch.testing.assert_close(t2i, cross_entropy(t @ v.T, own))


@pytest.mark.parametrize("scale", [0.0, 12.0])
def test_image_to_text_is_the_smoothed_cross_entropy_over_all_texts(scale: float) -> None:
    loss = ImageToText(6, 5, smoothing=0.2, scale=scale).double()
    loss.texts.copy_(features(5, seed=3))
    v = features(8).requires_grad_()
    logits = scale * normalize(v) @ normalize(loss.texts).T if scale else v @ loss.texts.T
    target = torch.full((8, 5), 0.2 / 5, dtype=torch.float64)
    target[torch.arange(8), LABELS] += 0.8
    expected = -(target * (logits - logits.logsumexp(1, keepdim=True))).sum(1).mean()
    value = loss(v, LABELS)
    torch.testing.assert_close(value, expected)
    gradient = torch.autograd.grad(value, v)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, v)[0])
    if not scale:
        torch.testing.assert_close(gradient, (logits.softmax(1) - target) @ loss.texts / 8)
    assert not list(loss.parameters())  # the texts stay as they were learnt


def test_bfloat16_features_are_compared_in_float32() -> None:
    v, t = features(8, seed=1).bfloat16(), features(8, seed=2).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        i2t, _ = image_text_contrast(v, t, LABELS)
    assert i2t.dtype == torch.float32
    torch.testing.assert_close(i2t, image_text_contrast(v.float(), t.float(), LABELS)[0])


# Prompts


@pytest.fixture(scope="module")
def clip() -> Any:
    open_clip.add_model_config(OWN_CONFIGS)
    torch.manual_seed(1)
    model = open_clip.create_model("handreid-tiny").double().eval()
    for name, value in model.named_parameters():
        if "ln_" in name:
            value.data.normal_(1, 0.2)
    return model


@pytest.fixture(scope="module")
def tokenizer(clip: Any) -> Any:
    return open_clip.get_tokenizer("handreid-tiny")


def encoder_of(clip: Any, tokenizer: Any, templates: list[str]) -> PromptEncoder:
    """The text tower of `clip`, as a file of the whole CLIP gives it."""
    tower = open_text_tower(TINY, 0, "clip_reid").double()
    tower.load_state_dict({name: value for name, value in clip.state_dict().items() if name in tower.state_dict()})
    return PromptEncoder(tower, tokenizer, templates).double()


WORDS = "small brown left smooth"


@pytest.mark.parametrize(
    ("dorsal", "words"), [(False, IDENTITY), (True, "A photo of the back of a X X X X left hand.")]
)
def test_with_the_vectors_of_real_words_a_prompt_is_that_text(
    clip: Any, tokenizer: Any, dorsal: bool, words: str
) -> None:
    """Whatever is cut after the end of the text changes nothing."""
    encoder = encoder_of(clip, tokenizer, [words])
    assert encoder.tokens.shape[1] < 20
    text = tokenizer([words.replace("X X X X", WORDS)])
    vectors = clip.token_embedding(tokenizer([WORDS])[:, 1:5])
    expected = clip.encode_text(text)
    torch.testing.assert_close(encoder(vectors), expected, rtol=1e-10, atol=1e-10)
    other = encoder(vectors.flip(1))
    assert (other - expected).abs().max() > 1e-3


def test_a_tower_that_looks_both_ways_keeps_its_whole_length(clip: Any, tokenizer: Any) -> None:
    settings = text_settings("handreid-tiny", "")
    tower = open_clip.model.CustomTextCLIP(
        settings["embed_dim"],
        {"image_size": 16, "patch_size": 16, "width": 32, "head_width": 32, "layers": 1},
        settings["text_cfg"] | {"no_causal_mask": True},
    ).text.double()
    text = tokenizer([IDENTITY.replace("X X X X", WORDS)])
    vectors = tower.token_embedding(tokenizer([WORDS])[:, 1:5]).detach()
    expected = tower(text)
    encoder = PromptEncoder(tower, tokenizer, [IDENTITY])
    torch.testing.assert_close(encoder(vectors), expected, rtol=1e-10, atol=1e-10)


def test_the_gradient_flows_through_the_frozen_tower_to_the_words_alone(clip: Any, tokenizer: Any) -> None:
    """The defect: a text that is encoded without gradients teaches its words nothing."""
    encoder = encoder_of(clip, tokenizer, [IDENTITY])
    words = torch.randn(3, 4, 128, dtype=torch.float64, requires_grad=True)
    encoder(words).square().sum().backward()
    assert words.grad is not None and (words.grad.abs().amax(2) > 0).all()
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_the_network_of_the_inversion_learns_and_tells_images_apart(clip: Any, tokenizer: Any) -> None:
    """The defects of the published code: no gradient reaches the network, and every image gets the same text."""
    encoder = encoder_of(clip, tokenizer, [INVERTED])
    torch.manual_seed(0)
    loss = Inversion(128, 5, read=encoder.forward, width=encoder.width).double()
    v = features(8, 128).requires_grad_()
    loss(v, LABELS).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in loss.parameters())
    assert v.grad is not None and (v.grad.abs().sum(1) > 0).all()
    loss.eval()
    texts = encoder(loss.word(v)[:, None])
    assert torch.pdist(normalize(texts)).min() > 1e-3
    before = loss(v, LABELS).item()
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        loss(v.detach(), LABELS).backward()
        optimizer.step()
    assert loss(v, LABELS).item() < 0.8 * before
    assert not [name for name in loss.state_dict() if not name.startswith("word.")]  # no text tower in a checkpoint


def test_the_inversion_is_the_contrast_of_images_and_their_own_texts() -> None:
    torch.manual_seed(0)
    read = torch.nn.Linear(4, 6, bias=False).double()
    loss = Inversion(6, 5, dropout=0.0, read=lambda words: read(words[:, 0]), width=4).double()
    v = features(8)
    texts = read(loss.word(v))
    i2t, t2i = image_text_contrast(v, texts, LABELS)
    torch.testing.assert_close(loss(v, LABELS), i2t + t2i)


def test_prompts_name_the_aspect_of_each_identity() -> None:
    classes = ["dorsal-left/1", "palmar-right/1", "dorsal-left/2"]
    templates, of = templates_of(classes, aspect=True)
    assert [templates[each] for each in of] == [
        "A photo of the back of a X X X X left hand.",
        "A photo of the palm of a X X X X right hand.",
        "A photo of the back of a X X X X left hand.",
    ]
    prompts = Prompts(classes, 128, aspect=True)
    assert prompts.context.shape == (3, 4, 128) and 0.015 < prompts.context.std() < 0.025
    encoder = PromptEncoder(open_text_tower(TINY, 0, ""), open_clip.get_tokenizer("handreid-tiny"), prompts.templates)
    prompts.context.data[2] = prompts.context.data[0]
    texts = prompts.all_texts(encoder)
    torch.testing.assert_close(texts[2], texts[0])
    assert not torch.allclose(encoder(prompts.context[:1], prompts.template[1:2]), texts[:1])
    with pytest.raises(UserError, match="does not give the aspect of person-7") as caught:
        templates_of(["person-7"], aspect=True)
    assert caught.value.setting == "prompts.aspect"


# Where text towers come from


def as_transformers(clip: Any) -> dict[str, Tensor]:
    """The text tower as CLIPModel names it."""
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    parts |= {"attn.out_proj": "self_attn.out_proj"}
    found = {
        "text_model.embeddings.token_embedding.weight": clip.token_embedding.weight,
        "text_model.embeddings.position_embedding.weight": clip.positional_embedding,
        "text_model.final_layer_norm.weight": clip.ln_final.weight,
        "text_model.final_layer_norm.bias": clip.ln_final.bias,
        "text_projection.weight": clip.text_projection.T,
    }
    for name, value in clip.transformer.named_parameters():
        _, layer, *rest, kind = name.split(".")
        inner, to = ".".join(rest), f"text_model.encoder.layers.{layer}"
        if inner in parts:
            found[f"{to}.{parts[inner]}.{kind}"] = value
        else:
            for part, each in zip("qkv", value.chunk(3), strict=True):
                found[f"{to}.self_attn.{part}_proj.{kind.removeprefix('in_proj_')}"] = each
    return found


@pytest.mark.parametrize("named", [lambda clip: clip.state_dict(), as_transformers], ids=["open_clip", "transformers"])
def test_the_text_tower_of_a_file_is_read(
    clip: Any, tokenizer: Any, tmp_path: Path, named: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.model.text_tower.has_random_texts", lambda *_: False)
    file = tmp_path / "clip.safetensors"
    save_file({f"model.{name}": value.detach().float().contiguous() for name, value in named(clip).items()}, file)
    tower = open_text_tower(ModelConfig(name="handreid-tiny", pretrained=str(file)), 0, "clip_reid")
    text = tokenizer(["A photo of a hand."])
    torch.testing.assert_close(tower(text).double(), clip.encode_text(text), rtol=1e-4, atol=1e-4)
    assert not tower.training and not any(weight.requires_grad for weight in tower.parameters())


def test_the_text_tower_of_published_weights_is_read(
    clip: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.model.text_tower.has_random_texts", lambda *_: False)
    monkeypatch.setattr("engine.model.text_tower.published_clip", lambda config, tag: clip)
    tower = open_text_tower(ModelConfig(name="handreid-tiny", pretrained="openai"), 0, "clip_reid")
    text = tokenizer(["A photo of a hand."])
    torch.testing.assert_close(tower(text).double(), clip.encode_text(text), rtol=1e-4, atol=1e-4)


def test_a_file_without_a_text_tower_is_refused_by_the_trainer_too(
    clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.model.text_tower.has_random_texts", lambda *_: False)
    torch.save(clip.visual.state_dict(), tmp_path / "visual.pt")
    with pytest.raises(UserError, match="contains no text tower"):
        open_text_tower(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path / "visual.pt")), 0, "clip_reid")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("timm:resnet50.tv2_in1k", "has no text tower"),
        ("ViT-B-16-SigLIP2", "another vocabulary"),
        ("roberta-ViT-B-32", "another vocabulary"),
    ],
)
def test_an_encoder_without_a_text_tower_is_refused(model: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"clip_reid compares images with texts, but .*{said}") as caught:
        check_texts("clip_reid", model, "none")
    assert caught.value.setting == "model.name"


def test_weights_without_a_text_tower_are_refused(tmp_path: Path) -> None:
    image, whole, other = (tmp_path / name for name in ("image.safetensors", "whole.safetensors", "other.pt"))
    save_file({"visual.proj": torch.zeros(1)}, image)
    save_file({"module.token_embedding.weight": torch.zeros(1)}, whole)
    other.write_bytes(b"PK")  # only the trainer can tell
    with pytest.raises(UserError, match="contains no text tower") as caught:
        check_texts("clip_reid", "ViT-B-16", str(image))
    assert caught.value.setting == "model.pretrained"
    for fine in (str(whole), str(other), "openai", "none"):
        check_texts("clip_reid", "ViT-B-16", fine)
    check_texts("clip_reid", "handreid-tiny", str(image))  # ours never come with one


# The steps of the first stage


@pytest.mark.parametrize("images", [1, 63, 64, 65, 128, 130])
def test_no_batch_is_empty_and_every_image_comes_once_an_epoch(images: int) -> None:
    """The defect: 64 images a batch and a number that it divides leave an empty last batch, and a loss that is NaN."""
    count = batches(images, 64)
    for epoch in range(2):
        drawn = [prompt_batch(images, 64, 0, epoch * count + place) for place in range(count)]
        assert all(0 < len(batch) <= 64 for batch in drawn)
        assert sorted(torch.cat(drawn).tolist()) == list(range(images))


def test_the_rate_follows_the_paper() -> None:
    config = PromptConfig()
    rates = [prompt_rate(config, epoch) for epoch in range(1, 121)]
    assert rates[0] == pytest.approx(1e-5 + (3.5e-4 - 1e-5) / 5)
    assert max(rates) == rates[4] == pytest.approx(3.5e-4, rel=0.01)
    assert rates[4:] == sorted(rates[4:], reverse=True) and rates[-1] == pytest.approx(1e-6)
