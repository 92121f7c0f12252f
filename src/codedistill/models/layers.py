"""A smaller student: some of a model's decoder layers, evenly spread, with the first and the last."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from codedistill.errors import UserError
from codedistill.models.config import text_config

PREFIX_COUNTS = frozenset({"first_k_dense_replace", "num_dense_layers", "max_window_layers", "num_kv_shared_layers"})
"""Settings that count the first layers of one kind."""

LAYER_LISTS = ("layers", "h", "blocks", "block", "layer")


def keep_layers(model: PreTrainedModel, keep: int, key: str) -> None:
    """Cut `model` in place to `keep` of its decoder layers, and its configuration with them.

    keep_layers(model, 15, key) keeps the layers 0, 2, 4, ..., 29 of 30. `verify_saved` finds out whether the
    configuration now describes the model.

    Raises:
        UserError: the model has fewer layers, or its layers or their settings are not where they are looked for.
    """
    decoder: Any = model.get_decoder()
    decoder = getattr(decoder, "decoder", decoder)  # OPT has one inside
    name = next((n for n in LAYER_LISTS if isinstance(getattr(decoder, n, None), nn.ModuleList)), None)
    if name is None:
        raise UserError(f"{key}.keep_layers: {type(model).__name__} has its layers in an unknown place")
    layers = getattr(decoder, name)
    count = len(layers)
    if keep > count:
        raise UserError(f"{key}.keep_layers {keep}: the model has only {count} layers")
    chosen = [0] if keep == 1 else [round(i * (count - 1) / (keep - 1)) for i in range(keep)]
    kept = nn.ModuleList(layers[i] for i in chosen)
    for position, layer in enumerate(kept):  # the key-value cache is indexed by this number
        for module in layer.modules():
            for number in ("layer_idx", "layer_id", "layer_number"):
                if isinstance(getattr(module, number, None), int):
                    setattr(module, number, position)
    setattr(decoder, name, kept)
    try:
        for config in {id(each): each for each in (text_config(model), decoder.config)}.values():
            _cut_settings(config, count, chosen)
    except Exception as error:
        raise UserError(
            f"{key}.keep_layers: the settings of {model.config.model_type} cannot be cut to {keep} layers: {error}"
        ) from None


def _cut_settings(config: Any, count: int, chosen: list[int]) -> None:
    """Cut every setting about single layers to the chosen ones of `count`.

    A list of `count` entries has one for each layer; a shorter list of increasing numbers below `count` names layers.
    """
    values = {name: value for name, value in vars(config).items() if not name.startswith("__")}
    number = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    new: dict[str, Any] = {number: len(chosen)}
    for name, value in values.items():
        if isinstance(value, list | tuple) and len(value) == count and name != "layers":
            new[name] = type(value)(value[i] for i in chosen)
        elif isinstance(value, list | tuple) and value and {type(each) for each in value} == {int}:
            if list(value) == sorted(set(value)) and value[0] >= 0 and value[-1] < count:
                new[name] = type(value)(position for position, i in enumerate(chosen) if i in value)
        elif name in PREFIX_COUNTS and isinstance(value, int):
            new[name] = sum(i < value for i in chosen)
    if "attention_types" in values and "attention_layers" in new:  # GPT-Neo writes its list with repetitions
        new["attention_types"] = [[list(new["attention_layers"]), 1]]
    for name, value in new.items():
        setattr(config, name, value)
