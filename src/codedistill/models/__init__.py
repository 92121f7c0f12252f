"""Models and tokenizers.

loading.py      folders, hub ids, the embedded pair and fresh architectures -> Loaded
config.py       what a model's configuration says, wherever its family keeps it
compare.py      is a saved model the one in memory
heads.py        hidden states at chosen positions, and the output head with its scale and cap
vocabulary.py   whether teacher and student have the same tokens
layers.py       a smaller student by keeping some layers
lora.py         adapters
"""

from codedistill.models.compare import verify_saved
from codedistill.models.config import set_end_tokens, text_config
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
    "set_end_tokens",
    "shared_vocabulary",
    "text_config",
    "verify_saved",
]
