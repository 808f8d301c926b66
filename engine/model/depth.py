"""Which weights of an encoder belong to which of its blocks: for freezing, and for rates that fall with depth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from engine.contract.errors import UserError
from engine.model.encoder import ImageEncoder

# open_clip's transformers and ResNets, and the families of timm
BLOCK = re.compile(r"trunk\.(?:transformer\.|trunk\.)?(?:(?:resblocks|blocks|stages|layers)[._](\d+)|layer(\d+))\.")
COPIED = re.compile(r"branches\.\w+\.stage\.")  # of the last block
INPUT = re.compile(r"(class_embedding|positional_embedding|cls_token|pos_embed)$")
ALL_BUT_LAST = re.compile(r"all-but-last-(\d+)")


@dataclass(frozen=True)
class Depths:
    """Of each parameter by name: 0 before the first block, 1 … `blocks` in a block, `blocks` + 1 after the last."""

    of: dict[str, int]
    blocks: int


def depths(encoder: ImageEncoder) -> Depths:
    """Where in the encoder each parameter is. Raises UserError where the encoder has no blocks that are known."""
    names = [name for name, _ in encoder.named_parameters()]
    block = {name: int(match[1] or match[2]) for name in names if (match := BLOCK.match(name))}
    if not block:
        raise UserError("The blocks of this encoder are not known: freeze its weights by name.")
    number = {at: place for place, at in enumerate(sorted(set(block.values())), 1)}  # a ResNet's begin at 1
    first = names.index(next(iter(block)))

    def depth(place: int, name: str) -> int:
        if name in block:
            return number[block[name]]
        if COPIED.match(name):
            return len(number)
        is_input = place < first or INPUT.search(name)
        return 0 if is_input and not name.startswith("projection") else len(number) + 1

    return Depths({name: depth(place, name) for place, name in enumerate(names)}, len(number))


def freeze(encoder: ImageEncoder, what: list[str]) -> None:
    """Leave the weights that `what` names as they are.

    `what` holds names under open_clip's own names with `*` (`visual.conv1*`), or `all-but-last-N` blocks; what comes
    after the last block is never part of that. Raises UserError where one names nothing.
    """
    known = encoder.open_clip_names()
    parameters = dict(encoder.named_parameters())
    for each in what:
        if blocks := ALL_BUT_LAST.fullmatch(each):
            depth = depths(encoder)
            chosen = [name for name in parameters if depth.of[name] <= depth.blocks - int(blocks[1])]
        else:
            chosen = [name for name in parameters if fnmatchcase(known[name], each)]
        if not chosen:
            first, *_, last = known.values()
            text = f"{each!r} names no weight of the encoder: they are {first} … {last}; or write all-but-last-2."
            raise UserError(text, "train.freeze")
        for name in chosen:
            parameters[name].requires_grad_(False)


def frozen_norms(encoder: ImageEncoder) -> list[nn.Module]:
    """The batch norms whose weights are frozen: their statistics must stay too."""
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return [norm for norm in norms if norm.affine and not any(weight.requires_grad for weight in norm.parameters())]
