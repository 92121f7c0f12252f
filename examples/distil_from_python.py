"""Distill the embedded pair from Python, compare the student with its base, and evaluate it once more by itself.

python examples/distil_from_python.py [key=value ...]
"""

from __future__ import annotations

import sys

from codedistill import Watch, distill, evaluate
from codedistill.recipe.sections import Evaluation


def main(overrides: list[str]) -> None:
    watch = Watch(stage=lambda text: print(f"... {text}", file=sys.stderr))
    run = distill("tiny", overrides, watch)
    for model in run.to_json()["models"]:
        low, high = model["interval"]
        print(f"{model['who']:8} pass@1 {model['pass@1']:.1%}  (95% interval {low:.1%} to {high:.1%})")
    gained = run.to_json()["paired"]["tiny"]
    low, high = gained["interval"]
    print(f"gained by distilling: {gained['difference']:+.1%}  (95% interval {low:+.1%} to {high:+.1%})")
    print(f"the run is in {run.directory.path}")

    # A student is an ordinary transformers folder: evaluate it alone, with samples instead of greedy decoding.
    settings = Evaluation(limit=5, samples=2, temperature=0.8, max_new_tokens=120)
    again = evaluate(run.directory.model, "tiny", settings)
    print(f"two samples each on five tasks: pass@1 {again.pass_at_1:.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
