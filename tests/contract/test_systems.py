"""What Launch and the documentation tell of combinations and encoders is declared once, and true."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.combos import COMBOS
from engine.contract.config import resolve
from engine.contract.encoders import ENCODERS, encoders_table, image_size
from engine.contract.models import check_model_name, own_image_size
from engine.contract.published import REFERENCES, references_table
from handreid_tui.ui.screens.launch.combo_details import about

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_of_the_documentation_are_the_declarations() -> None:
    assert encoders_table() in (DOCS / "model.md").read_text()
    assert references_table(COMBOS) in (DOCS / "systems.md").read_text()


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_what_is_told_of_it(name: str) -> None:
    import open_clip
    import timm
    import torch

    from engine.contract.models import OWN_CONFIGS
    from engine.model.towers import build_visual

    check_model_name(name)
    open_clip.add_model_config(OWN_CONFIGS)
    with torch.device("meta"):
        if name.startswith("timm:"):
            model = timm.create_model(name.removeprefix("timm:"), num_classes=0)
            assert image_size(name) == model.pretrained_cfg["input_size"][1]
        else:
            model = build_visual(open_clip.get_model_config(name), False, None)
            size = model.image_size
            assert image_size(name) == (size[0] if isinstance(size, tuple) else size)
        count = sum(weight.numel() for weight in model.parameters())
    assert count / 1e6 == pytest.approx(ENCODERS[name].millions, abs=0.05)


def test_other_encoders_have_the_size_of_their_file_or_none() -> None:
    assert own_image_size("ViT-L-14-336") == 336
    assert image_size("timm:convnext_base") is None


def test_launch_tells_cost_encoder_and_published_result() -> None:
    config = resolve("mba_net", **{"data.source": "/hands", "model.name": "timm:resnet50.tv2_in1k"})
    told = about("mba_net", COMBOS["mba_net"], None, config).plain
    assert (
        "One stage; two copies of the encoder's last stage, with attention, beside it. 70 epochs, batch 16x4, 324 px."
        in told
    )
    assert "timm:resnet50.tv2_in1k. ResNet50 of ImageNet; the encoder of MBA-Net; 23.5 M parameters." in told
    assert "97.5 rank-1, 98.0 mAP (trapezoidal): ResNet50 at 324 px, 11k Hands dorsal-right, merged gallery" in told
    config = resolve("clip_reid", **{"data.source": "/hands"})
    told = about("clip_reid", COMBOS["clip_reid"], None, config).plain
    assert "Two stages; the text tower in the first. 120 epochs of prompts, 60 epochs, batch 16x4, 224 px." in told
    other = about("ce", COMBOS["ce"], None, resolve("ce", **{"data.source": "/hands", "model.name": "RN101"})).plain
    assert "One stage. 120 epochs, batch 16x4, 224 px." in other and "no result that could be checked" in other
    untrained = about("zero_shot", COMBOS["zero_shot"], None, resolve("zero_shot")).plain
    assert "Input  64 px." in untrained and "epochs" not in untrained
    assert REFERENCES.keys() <= COMBOS.keys()
