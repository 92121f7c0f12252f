"""A pair of micro models on disk, and recipes over them: whole runs in a second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread for each worker, as there is a worker for each core
    os.environ["OMP_NUM_THREADS"] = "1"

# Some virtual machines announce AMX and fail at its first instruction. Read by torch when it is imported, here and in
# every process that a test starts.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")


@pytest.fixture(scope="session")
def micro_pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a random teacher and a random, smaller student over the embedded tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from codedistill.tiny import ASSETS

    folder = tmp_path_factory.mktemp("pair")
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "teacher")
    torch.manual_seed(7)
    for name, hidden, layers in (("teacher", 48, 3), ("student", 32, 2)):
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=64,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=name == "student",
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.2,
        )
        LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {"teacher": folder / "teacher", "student": folder / "student"}


@pytest.fixture
def micro_recipe(micro_pair: dict[str, Path], tmp_path: Path) -> dict[str, Any]:
    """A recipe of a few steps over the micro pair, with its output in the test's folder."""
    return {
        "name": "micro",
        "teacher": str(micro_pair["teacher"]),
        "student": str(micro_pair["student"]),
        "data": {"source": "tiny", "limit": 40},
        "training": {"steps": 6, "batch_size": 8, "learning_rate": 1e-3},
        "evaluation": {"benchmarks": ["tiny"], "limit": 4, "max_new_tokens": 12},
        "output": str(tmp_path / "run"),
    }
