"""Tokens per second of batched decoding against transformers' `generate` over fixed, padded batches, on the same model.

    python benchmarks/generation_throughput.py [MODEL] --benchmark tiny --limit 300 --batch-size 50

Both decode greedily from the same prompts with the same limit; the order of prompts is the benchmark's. Fixed batches
run on until their longest sequence is done. The two take turns; the first turn of each warms up and is not counted.
Prints both rates, their ratio, and on how many prompts the two completions are the same.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from codedistill.benchmarks import load_benchmark
from codedistill.data.encode import encode_prompt
from codedistill.generation import Request, Sampling, generator_for
from codedistill.harness.generate import prompt_for
from codedistill.models import Loaded, load_model
from codedistill.recipe.sections import ModelSpec


def ours(loaded: Loaded, prompts: list[str], limit: int, size: int) -> tuple[list[str], int]:
    """Completions in the prompts' order, and the tokens that were made."""
    requests = [Request(i, p) for i, p in enumerate(prompts)]
    done = list(generator_for(loaded).generate(requests, Sampling(limit, batch_size=size)))
    done.sort(key=lambda completion: completion.index)
    return [completion.text for completion in done], sum(completion.tokens for completion in done)


@torch.inference_mode()
def fixed_batches(loaded: Loaded, prompts: list[str], limit: int, size: int) -> tuple[list[str], int]:
    """The same by transformers' own `generate`; tokens after a sequence's end are padding and do not count."""
    model: Any = loaded.model
    tokenizer = loaded.tokenizer
    texts, tokens = [], 0
    for start in range(0, len(prompts), size):
        encoded = [encode_prompt(prompt, tokenizer) for prompt in prompts[start : start + size]]
        length = max(map(len, encoded))
        ids = torch.full((len(encoded), length), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(encoded):
            ids[row, length - len(prompt) :] = torch.tensor(prompt)
            mask[row, length - len(prompt) :] = 1
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )[:, length:]
        for row in made.tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            tokens += end
            texts.append(tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return texts, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="tiny/teacher")
    parser.add_argument("--benchmark", default="tiny")
    parser.add_argument("--limit", type=int, default=300, help="tasks")
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    loaded = load_model(ModelSpec(path=options.model), "model")
    problems = load_benchmark(options.benchmark, options.limit).problems
    prompts = [prompt_for(problem, "alpaca", loaded) for problem in problems]
    variants = {"codedistill": ours, "transformers, fixed batches": fixed_batches}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    results: dict[str, tuple[list[str], int]] = {}
    for turn in range(options.turns + 1):
        for name, variant in variants.items():
            start = time.perf_counter()
            results[name] = variant(loaded, prompts, options.max_new_tokens, options.batch_size)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    rates = {name: results[name][1] / min(seconds[name]) for name in variants}
    threads = torch.get_num_threads()
    print(f"{options.model}, {len(prompts)} prompts, batches of {options.batch_size}, {threads} threads, best of turns")
    for name in variants:
        print(f"{name:30} {results[name][1]:7} tokens {min(seconds[name]):7.2f} s {rates[name]:9.0f} tokens/s")
    first, second = (results[name][0] for name in variants)
    print(f"ratio {rates['codedistill'] / rates['transformers, fixed batches']:.2f}")
    print(f"same completion on {sum(a == b for a, b in zip(first, second, strict=True))} of {len(prompts)} prompts")


if __name__ == "__main__":
    main()
