"""From a model's name in the recipe to a model and its tokenizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from codedistill.errors import UserError, first_line
from codedistill.models.compare import verify_saved
from codedistill.models.config import most_positions, text_config
from codedistill.models.layers import keep_layers
from codedistill.models.names import EMBEDDED, require_on_hub, resolve
from codedistill.recipe.sections import ModelSpec

INCIDENTAL = frozenset({"_name_or_path", "transformers_version", "architectures", "use_cache"})
"""Settings of a model that its output does not depend on."""


@dataclass(frozen=True)
class Loaded:
    """A causal language model with its tokenizer. `name` is how the recipe calls it."""

    name: str
    model: PreTrainedModel
    tokenizer: Any

    @property
    def parameters(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def positions(self) -> int | None:
        """How many tokens the model's context has; None if nothing limits it."""
        return most_positions(self.model)

    @property
    def end_tokens(self) -> list[int]:
        """The tokens that end a completion: the tokenizer's first, then those of the generation settings."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        more = configured if isinstance(configured, list) else [configured]
        return list(dict.fromkeys(t for t in (self.tokenizer.eos_token_id, *more) if t is not None))

    def fingerprint(self) -> str:
        """SHA-256 of everything that the model's output depends on: weights, settings, tokenizer."""
        settings = {k: v for k, v in self.model.config.to_dict().items() if k not in INCIDENTAL}
        ends = getattr(self.model.generation_config, "eos_token_id", None)
        digest = hashlib.sha256(repr((sorted(settings.items(), key=str), ends, self._tokens())).encode())
        for name, parameter in self.model.named_parameters():
            digest.update(repr((name, tuple(parameter.shape), str(parameter.dtype))).encode())
            digest.update(parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _tokens(self) -> tuple[Any, ...]:
        """The tokenizer's rules and special tokens."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = sorted(self.tokenizer.get_vocab().items()) if fast is None else fast.to_str()
        return rules, self.tokenizer.chat_template, self.tokenizer.eos_token_id, self.tokenizer.bos_token_id


def load_model(spec: ModelSpec, key: str) -> Loaded:
    """The model of recipe key `key` (teacher, student), on the CPU, in evaluation mode.

    Raises:
        UserError: no such folder, no weights in it, or the hub does not know it.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    tokenizer = load_tokenizer(spec, key)
    if spec.architecture is not None:
        model = _from_architecture(spec.architecture, tokenizer, key).to(getattr(torch, spec.dtype))
    else:
        model = _from_folder(spec, key)
    if spec.keep_layers is not None:
        keep_layers(model, spec.keep_layers, key)
        verify_saved(model.eval(), tokenizer, f"{key}.keep_layers {spec.keep_layers}")
    return Loaded(str(spec), model.eval(), tokenizer)


def _from_folder(spec: ModelSpec, key: str) -> Any:
    """A saved model with exactly the weights that its configuration asks for."""
    where = f"{key} {spec.path}"
    path, trusted = resolve(spec.path or "", key), spec.trust_remote_code
    try:
        found: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, spec.dtype), output_loading_info=True, trust_remote_code=trusted
        )
    except Exception as error:  # whatever a broken folder, a family's code or a missing library raises
        raise UserError(f"{where}: cannot be loaded: {_reason(error, key, trusted)}") from None
    model, report = found
    if missing := sorted(report["missing_keys"]):  # they would be random
        raise UserError(f"{where}: its weights lack {len(missing)} tensors, {missing[0]} among them")
    layers = getattr(text_config(model), "num_hidden_layers", None)
    for name in sorted(report.get("unexpected_keys") or ()):
        numbers = [int(part) for part in name.split(".") if part.isdigit()]
        if isinstance(layers, int) and numbers and numbers[0] >= layers:
            raise UserError(f"{where}: its weights have layers, such as {name}, beyond the {layers} of its config.json")
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not bool(torch.isfinite(parameter).all()):
            raise UserError(f"{where}: its weights are damaged: {name} holds numbers that are not finite")
    return model


def _reason(error: Exception, key: str, trusted: bool) -> str:
    """Why a model or tokenizer was not loaded, in one line."""
    if not trusted and "trust_remote_code" in str(error):
        return f"it brings Python code of its own; read that code, then set {key}.trust_remote_code=true to run it"
    known = isinstance(error, OSError | ValueError | ImportError | RuntimeError | SafetensorError)
    return first_line(error) if known else f"{type(error).__name__}: {first_line(error)}"


def load_tokenizer(spec: ModelSpec, key: str) -> Any:
    """The tokenizer of a model, with an end token and a padding token."""
    name = spec.tokenizer or spec.path or ""
    if spec.tokenizer is None:
        path = resolve(name, key)
    else:
        path = str(EMBEDDED.get(name, name))
        if not Path(path).exists():
            require_on_hub(name, "tokenizer_config.json", f"{key}.tokenizer")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=spec.trust_remote_code)
    except Exception as error:  # whatever a broken folder or a tokenizer's own code raises
        reason = _reason(error, key, spec.trust_remote_code)
        raise UserError(f"{key} {name}: its tokenizer cannot be loaded: {reason}") from None
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{key} {name}: its tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _from_architecture(fields: dict[str, Any], tokenizer: Any, key: str) -> PreTrainedModel:
    values = dict(fields)
    try:
        config = AutoConfig.for_model(
            values.pop("model_type"),
            **{
                "vocab_size": len(tokenizer),
                "eos_token_id": tokenizer.eos_token_id,
                "bos_token_id": tokenizer.bos_token_id,
            },
            **values,
        )
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        return model
    except Exception as error:  # a configuration's own checks raise any type
        raise UserError(f"{key}.architecture: {first_line(error)}; give model_type and its config fields") from None
