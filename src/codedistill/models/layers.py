"""A smaller student: some of a model's decoder layers, evenly spread, the first and the last among them."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from codedistill.errors import UserError


def evenly_spread(count: int, keep: int) -> list[int]:
    """`keep` of `count` indices, evenly spread: evenly_spread(30, 15)[:3] == [0, 2, 4]; the last one always stays."""
    if keep == 1:
        return [0]
    return [round(i * (count - 1) / (keep - 1)) for i in range(keep)]


def keep_layers(model: PreTrainedModel, keep: int, key: str) -> None:
    """Cut `model` in place to `keep` of its decoder layers.

    Raises:
        UserError: the model has fewer layers, or keeps them where we do not find them.
    """
    decoder = model.get_decoder()
    name = next((n for n in ("layers", "h", "blocks") if isinstance(getattr(decoder, n, None), nn.ModuleList)), None)
    if name is None:
        raise UserError(f"{key}.keep_layers: {type(model).__name__} keeps its layers where we do not find them")
    layers = getattr(decoder, name)
    if keep > len(layers):
        raise UserError(f"{key}.keep_layers {keep}: the model has only {len(layers)} layers")
    chosen = evenly_spread(len(layers), keep)
    kept = nn.ModuleList(layers[i] for i in chosen)
    for position, layer in enumerate(kept):  # the key-value cache is indexed by this number
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                setattr(module, "layer_idx", position)  # noqa: B010 - a plain assignment is typed as a submodule
    setattr(decoder, name, kept)
    config = model.config
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in chosen]
    config.num_hidden_layers = keep
