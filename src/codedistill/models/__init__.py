"""Models and tokenizers.

loading.py      folders, hub ids, the embedded pair and fresh architectures -> Loaded
heads.py        hidden states at chosen positions, and the output head with its scale and cap
vocabulary.py   do teacher and student speak the same tokens
layers.py       a smaller student by keeping some layers
lora.py         adapters
"""

from codedistill.models.heads import HiddenStates, output_head
from codedistill.models.loading import Loaded, load_model, load_tokenizer, resolve
from codedistill.models.vocabulary import own_vocabulary, shared_vocabulary

__all__ = [
    "HiddenStates",
    "Loaded",
    "load_model",
    "load_tokenizer",
    "output_head",
    "own_vocabulary",
    "resolve",
    "shared_vocabulary",
]
