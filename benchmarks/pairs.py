"""Pairs of models to measure with: random weights of Llama's kind, saved and loaded as any model is; and what no
trainer of them can avoid: matrix products and memory."""

from __future__ import annotations

import json
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Size:
    """A Llama-like model."""

    hidden: int
    intermediate: int
    layers: int
    heads: int

    def parameters(self, vocabulary: int) -> int:
        """Embeddings are tied."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden + vocabulary * self.hidden


@dataclass(frozen=True)
class Pair:
    teacher: Size
    student: Size
    vocabulary: int


PAIRS = {
    "tiny": Pair(Size(192, 512, 5, 4), Size(96, 192, 5, 3), 1024),
    "small-49k": Pair(Size(768, 2048, 12, 12), Size(512, 1376, 8, 8), 49_152),
    "small-152k": Pair(Size(896, 2432, 16, 14), Size(512, 1376, 8, 8), 151_936),
}


@dataclass(frozen=True)
class Counts:
    """A batch in numbers: its examples, all positions, those that hold tokens, those that predict a response token."""

    examples: int
    positions: int
    tokens: int
    responses: int


def floor_operations(pair: Pair, batch: Counts, teacher: bool = True) -> float:
    """Floating-point operations of the matrix products that no implementation of a step avoids: no padding, heads on
    response rows only; backward costs the student two products for each one of forward."""

    def products(size: Size) -> float:
        layer = 4 * size.hidden**2 + 3 * size.hidden * size.intermediate
        attention = batch.tokens / batch.examples * size.hidden  # causal: half of the pairs, in two products
        return size.layers * (layer + attention) * batch.tokens + size.hidden * pair.vocabulary * batch.responses

    return 2 * (3 * products(pair.student) + (products(pair.teacher) if teacher else 0.0))


def common_megabytes(pair: Pair) -> float:
    """Both models' weights, the student's gradients and AdamW's two moments, in float32."""
    return 4 * (pair.teacher.parameters(pair.vocabulary) + 4 * pair.student.parameters(pair.vocabulary)) / 2**20


def machine_rate() -> float:
    """Floating-point operations per second of a large matrix product, best of five."""
    import torch

    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times[1:])


def save(pair: Pair, folder: Path, texts: list[str]) -> None:
    """Teacher and student in folder/teacher and folder/student, with a tokenizer of the pair's vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(texts, pair.vocabulary), eos_token="<|endoftext|>", pad_token="<|pad|>"
    )
    torch.manual_seed(0)
    for name, size in (("teacher", pair.teacher), ("student", pair.student)):
        config = LlamaConfig(
            hidden_size=size.hidden,
            intermediate_size=size.intermediate,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            vocab_size=pair.vocabulary,
            tie_word_embeddings=True,
            max_position_embeddings=2048,
        )
        LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


def library_rows(count: int, lines: int = 24) -> list[dict[str, str]]:
    """Examples from Python's standard library: some lines are the prompt, the lines that follow the completion."""
    rows = []
    for text in _library():
        parts = text.splitlines(keepends=True)
        for start in range(0, len(parts) - 2 * lines, 2 * lines):
            middle, end = start + lines, start + 2 * lines
            rows.append({"prompt": "".join(parts[start:middle]), "completion": "".join(parts[middle:end])})
            if len(rows) == count:
                return rows
    return rows


def _library() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.read_text(encoding="utf-8", errors="replace")


def _tokenizer(texts: list[str], vocabulary: int) -> Any:
    """Byte-level BPE of the texts and the standard library. Entries that the training does not fill are names that no
    text contains."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = level, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 40_000),
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *_library()], trainer)
    written = json.loads(tokenizer.to_str())
    entries = written["model"]["vocab"]
    entries |= {f"<unused {i}>": i for i in range(len(entries), vocabulary)}
    return Tokenizer.from_str(json.dumps(written))
