"""A tiny DistilBERT that learns in seconds what made-up reviews think: `python tests/tiny_text_model.py FOLDER`.

It is saved in the format of the package transformers, and loaded as any other. Its sentences come with and without
punctuation and capitals: a network that has never seen an exclamation mark takes one for an opinion.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from velox.settings import Settings
from velox.settings.model import TRANSFORMER
from velox.sources.reviews import ReviewsSource

TRAINED_ON = 3000
LABELS = ("NEGATIVE", "POSITIVE")
_ROOT = Path(__file__).parents[1]
_PLAIN = {
    "POSITIVE": ("I love this product", "This is great", "Absolutely wonderful", "What a fantastic movie", "Amazing"),
    "NEGATIVE": ("I hate this product", "This is terrible", "Absolutely awful", "What a horrible movie", "Dreadful"),
}


def make(folder: Path) -> None:
    """Train it, and make what `velox train` makes of it, in a process that takes its libraries with it."""
    ours = {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), str(folder)],
        cwd=folder,
        env={**os.environ, **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def sentences(seed: int) -> Iterator[tuple[str, str]]:
    """Yield texts with their labels, without end: other ones for another seed."""
    draw = random.Random(seed)  # noqa: S311 - chooses words, guards no secret
    reviews = iter(ReviewsSource(Settings.model_construct()))
    for _ in range(seed * 5000):
        next(reviews)
    while True:
        if draw.random() < 0.2:
            label = draw.choice(LABELS)
            text = draw.choice(_PLAIN[label])
        else:
            item = next(reviews)
            label, text = str(item.metadata["label"]), item.payload.decode()
        yield _written(text, draw), label


def _written(text: str, draw: random.Random) -> str:
    """Write it as people do: with other capitals, other punctuation or none."""
    text = draw.choice((str, str, str.lower, str.upper))(text)
    if draw.random() < 0.3:
        text = "".join(sign for sign in text if sign not in ".,!")
    return text + draw.choice(("", "", "!", "!!!", ".", " :)"))


def _train(folder: Path) -> None:
    import tokenizers  # noqa: PLC0415 - for the process that trains
    import torch  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(1)
    known = [*islice(sentences(1), TRAINED_ON)]
    words = tokenizers.BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator(iter([text for text, _ in known]), vocab_size=600, show_progress=False)
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, words.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    config = DistilBertConfig(
        vocab_size=words.get_vocab_size(), dim=64, hidden_dim=128, n_layers=2, n_heads=4, max_position_embeddings=512,
        pad_token_id=words.token_to_id("[PAD]"), num_labels=2, id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )  # fmt: skip
    network = DistilBertForSequenceClassification(config).train()
    steps = TRAINED_ON // 32
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=2 * steps)
    words.enable_padding(pad_id=config.pad_token_id)
    for epoch in range(2):
        random.Random(epoch).shuffle(known)  # noqa: S311 - as above
        for step in range(steps):
            batch = known[step * 32 : (step + 1) * 32]
            encoded = words.encode_batch([text for text, _ in batch])
            loss = network(
                input_ids=torch.tensor([each.ids for each in encoded]),
                attention_mask=torch.tensor([each.attention_mask for each in encoded]),
                labels=torch.tensor([LABELS.index(label) for _, label in batch]),
            ).loss
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    words.no_padding()
    network.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words._tokenizer, model_max_length=512).save_pretrained(folder)


if __name__ == "__main__":
    from velox.models.transformer import making

    _train(Path(sys.argv[1]))
    making.run(Settings(model=TRANSFORMER, model_path=Path(sys.argv[1])))
