"""Weights as people have them: archives, shards, other libraries' names, objects beside them; what is none."""

from __future__ import annotations

import argparse
import copy
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.models import OWN_CONFIGS
from engine.contract.weights import recorded_model
from engine.model.reid_model import build_model
from handreid_tui.launch.weights import check_weights

State = dict[str, Tensor]
WIDTH = 192


@pytest.fixture(scope="module")
def clip() -> Any:
    open_clip.add_model_config(OWN_CONFIGS)
    torch.manual_seed(1)
    model = open_clip.create_model("handreid-tiny").eval()
    for value in model.parameters():
        value.requires_grad_(False).uniform_(-0.2, 0.2)
    return model


@pytest.fixture(scope="module")
def tower(clip: Any) -> State:
    return {name: value.clone() for name, value in clip.visual.state_dict().items()}


def loaded(source: Path) -> State:
    check_weights("handreid-tiny", str(source))
    model = build_model(ModelConfig(name="handreid-tiny", pretrained=str(source)), 5)
    return {name.removeprefix("visual."): value for name, value in model.encoder.open_clip_state().items()}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Archives of TorchScript


class Whole(nn.Module):
    """A CLIP as OpenAI's archives hold it."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.logit_scale = nn.Parameter(torch.ones([]))
        self.register_buffer("input_resolution", torch.tensor(64))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.visual(images)
        return features


def traced(visual: nn.Module, file: Path) -> None:
    with torch.no_grad():
        torch.jit.trace(Whole(visual), torch.zeros(1, 3, 64, 64), check_trace=False).save(str(file))


@pytest.mark.parametrize("half", [False, True])
def test_a_torchscript_archive_is_read_without_running_it(
    clip: Any, tower: State, tmp_path: Path, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    visual = copy.deepcopy(clip.visual)
    traced(visual, tmp_path / "plain.pt")
    file = tmp_path / "archive.pt"
    if half:
        tower = {name: value.half().float() for name, value in tower.items()}
        visual.load_state_dict(tower)
        traced(visual, file)
    else:
        (tmp_path / "plain.pt").rename(file)
    for name in ("torch.jit.load", "torch._C.import_ir_module"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("the archive was run"))
    assert same(loaded(file), tower)
    assert recorded_model(file) == {}


def test_the_gelu_of_an_archive_is_recognised_in_its_code(tmp_path: Path) -> None:
    open_clip.add_model_config(OWN_CONFIGS)
    traced(open_clip.create_model("handreid-tiny", force_quick_gelu=True).visual.eval(), tmp_path / "archive.pt")
    assert recorded_model(tmp_path / "archive.pt") == {"quick_gelu": True}
    assert build_model(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path / "archive.pt")), 0).quick_gelu


# What training scripts save beside the weights


class Arguments:
    """An object of a class that no reader knows."""


@pytest.mark.parametrize(
    "beside",
    [
        {"best_acc": np.float64(0.5)},
        {"history": np.arange(4)},
        {"args": argparse.Namespace(lr=1e-3)},
        {"config": Arguments(), "callbacks": OrderedDict(early=Arguments())},
        {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1.0, "params": [0]}]}},
        {"epoch": 3, "path": Path("x"), "names": {"a", "b"}, "kind": Arguments},
    ],
)
def test_objects_beside_the_weights_are_passed_over(tower: State, tmp_path: Path, beside: dict[str, Any]) -> None:
    torch.save({"epoch": 1, **beside, "state_dict": tower}, tmp_path / "checkpoint.pth.tar")
    assert same(loaded(tmp_path / "checkpoint.pth.tar"), tower)


@pytest.mark.parametrize(
    "nested",
    [
        lambda tower: tower,
        lambda tower: {"state_dict": {f"module.{name}": value for name, value in tower.items()}},
        lambda tower: {"model": {"state_dict": {f"backbone.visual.{name}": value for name, value in tower.items()}}},
        lambda tower: {"net": {f"_orig_mod.model.{name}": nn.Parameter(value) for name, value in tower.items()}},
        lambda tower: {"state_dict": tower, "state_dict_ema": {name: value + 1 for name, value in tower.items()}},
    ],
)
@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt", ".safetensors"])
def test_state_dicts_are_found_wherever_they_are(
    tower: State, tmp_path: Path, suffix: str, nested: Callable[[State], Any]
) -> None:
    torch.save(nested(tower), tmp_path / f"weights{suffix}")  # the suffix says nothing
    assert same(loaded(tmp_path / f"weights{suffix}"), tower)


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.mark)!r}, 'w')",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_never_run(tower: State, tmp_path: Path, legacy: bool) -> None:
    mark, file = tmp_path / "mark", tmp_path / "weights.pt"
    torch.save({"state_dict": tower, "evil": Evil(mark)}, file, _use_new_zipfile_serialization=not legacy)
    if legacy:
        with pytest.raises(UserError, match="objects that are not tensors"):
            loaded(file)
    else:
        assert same(loaded(file), tower)
    assert not mark.exists()


# Several files


def write_shards(tower: State, folder: Path, suffix: str) -> Path:
    names = list(tower)
    parts = {f"model-0000{n + 1}-of-00003{suffix}": names[n::3] for n in range(3)}
    for file, own in parts.items():
        content = {name: tower[name] for name in own}
        save_file(content, folder / file) if suffix == ".safetensors" else torch.save(content, folder / file)
    index = folder / ("model.safetensors.index.json" if suffix == ".safetensors" else "pytorch_model.bin.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": {n: f for f, own in parts.items() for n in own}}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_weights_in_several_files_are_put_together(
    tower: State, tmp_path: Path, suffix: str, whole_folder: bool
) -> None:
    index = write_shards(tower, tmp_path, suffix)
    assert same(loaded(tmp_path if whole_folder else index), tower)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda index: next(index.parent.glob("*2-of*")).unlink(), "1 of the 3 files"),
        (lambda index: index.write_text('{"weight_map": {"a": "../b"}}'), "not an index"),
        (lambda index: index.write_text('{"weights": 1}'), "not an index"),
        (lambda index: index.write_text("["), "not an index"),
    ],
)
def test_an_index_that_does_not_lead_to_weights_says_so(
    tower: State, tmp_path: Path, damage: Callable[[Path], Any], sentence: str
) -> None:
    index = write_shards(tower, tmp_path, ".safetensors")
    damage(index)
    with pytest.raises(UserError, match=sentence):
        loaded(index)


# Other libraries' names


def as_transformers(tower: State) -> State:
    """The tower as `transformers.CLIPVisionModelWithProjection` names it."""
    found = {
        "vision_model.embeddings.class_embedding": tower["class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": tower["conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": tower["positional_embedding"],
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "visual_projection.weight": tower["proj"].T.contiguous(),
    }
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    parts |= {"attn.out_proj": "self_attn.out_proj"}
    for name, value in tower.items():
        kind = name.rpartition(".")[2]
        if name.startswith("transformer.resblocks."):
            _, _, layer, *rest = name.split(".")
            inner, to = ".".join(rest[:-1]), f"vision_model.encoder.layers.{layer}"
            if inner in parts:
                found[f"{to}.{parts[inner]}.{kind}"] = value
            else:
                for part, each in zip("qkv", value.chunk(3), strict=True):
                    found[f"{to}.self_attn.{part}_proj.{kind.removeprefix('in_proj_')}"] = each.clone()
        elif name.startswith("ln_pre."):
            found[f"vision_model.pre_layrnorm.{kind}"] = value
        elif name.startswith("ln_post."):
            found[f"vision_model.post_layernorm.{kind}"] = value
    return found


def as_timm(tower: State) -> State:
    """The tower as timm names a CLIP."""
    found = {
        "cls_token": tower["class_embedding"].reshape(1, 1, -1),
        "pos_embed": tower["positional_embedding"][None],
        "patch_embed.proj.weight": tower["conv1.weight"],
        "head.weight": tower["proj"].T.contiguous(),
        "head.bias": torch.zeros(tower["proj"].shape[1]),
    }
    parts = {"ln_1": "norm1", "ln_2": "norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    parts |= {"attn.out_proj": "attn.proj"}
    for name, value in tower.items():
        kind = name.rpartition(".")[2]
        if name.startswith("transformer.resblocks."):
            _, _, layer, *rest = name.split(".")
            inner = ".".join(rest[:-1])
            qkv = f"attn.qkv.{kind.removeprefix('in_proj_')}"
            found[f"blocks.{layer}.{f'{parts[inner]}.{kind}' if inner in parts else qkv}"] = value
        elif name.startswith("ln_pre."):
            found[f"norm_pre.{kind}"] = value
        elif name.startswith("ln_post."):
            found[f"norm.{kind}"] = value
    return found


@pytest.mark.parametrize("named", [as_transformers, as_timm])
@pytest.mark.parametrize("prefix", ["", "model.", "module.image_encoder."])
def test_the_same_tower_under_other_names_is_the_same(
    tower: State, tmp_path: Path, named: Callable[[State], State], prefix: str
) -> None:
    state = {prefix + name: value for name, value in named(tower).items()}
    save_file(state, tmp_path / "model.safetensors")
    assert same(loaded(tmp_path), tower)


def test_the_names_of_timm_are_those_of_its_models() -> None:
    import timm

    model = timm.create_model("vit_base_patch32_clip_224.openai", pretrained=False)
    like = {name: torch.zeros(1, 1, 1) for name in open_clip.create_model("ViT-B-32").visual.state_dict()}
    like |= {"class_embedding": torch.zeros(1), "proj": torch.zeros(1, 1)}
    assert as_timm(like).keys() == model.state_dict().keys()


def test_a_config_beside_the_weights_says_which_gelu_they_were_made_with(tower: State, tmp_path: Path) -> None:
    save_file(as_transformers(tower), tmp_path / "model.safetensors")
    for config in ({"hidden_act": "quick_gelu"}, {"vision_config": {"hidden_act": "quick_gelu"}}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert build_model(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path)), 0).quick_gelu
    (tmp_path / "config.json").write_text('{"hidden_act": "gelu"}')
    assert not build_model(ModelConfig(name="handreid-tiny", pretrained=str(tmp_path)), 0).quick_gelu


@pytest.mark.parametrize("change", ["no projection", "a classifier"])
def test_a_tower_without_clips_projection_is_refused(tower: State, tmp_path: Path, change: str) -> None:
    if change == "no projection":
        state = {name: value for name, value in as_transformers(tower).items() if not name.startswith("visual_proj")}
    else:
        state = as_timm(tower) | {"head.bias": torch.ones(tower["proj"].shape[1])}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="without its projection"):
        loaded(tmp_path / "model.safetensors")


# What is no weights, or bad ones


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named_as_such(tower: State, tmp_path: Path, value: float) -> None:
    bad = tower | {"proj": tower["proj"].clone()}
    bad["proj"][0, 0] = value
    save_file(bad, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"NaN or infinity in 1 of .* first 'proj'"):
        loaded(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 350\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\x1f\x8b\x08" + 40 * b"x", "gzip"),
        (b"\x89HDF\r\n\x1a\n" + 40 * b"x", "HDF5"),
        (b"", "is empty"),
        (b"PK\x03\x04" + 40 * b"x", "truncated"),
        ((60).to_bytes(8, "little") + b'{"a": ' + 20 * b"x", "truncated"),
        (b"hello", "is damaged, or not a weights file"),
        (pickle.dumps({"a": 1}), "Save its state dict alone|not a weights file|does not fit"),
    ],
)
def test_what_is_no_weights_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as raised:
        loaded(tmp_path / "weights.pt")
    assert str(raised.value).count("\n") == 0


def test_other_archives_are_told_from_weights(tower: State, tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", **{name: value.numpy() for name, value in tower.items()})
    with pytest.raises(UserError, match="without PyTorch weights"):
        loaded(tmp_path / "weights.npz")
    torch.save(tower, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-1000])
    with pytest.raises(UserError, match="truncated"):
        loaded(tmp_path / "cut.pt")
