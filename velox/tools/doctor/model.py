"""Whether there is a model, and it knows the labels that are wanted."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from velox.core.text import listed
from velox.errors import ModelError
from velox.models import card
from velox.models.architectures import IMAGENET_CLASSES
from velox.models.backends.selection import lacks_model, needs_weights
from velox.models.card import ModelFiles
from velox.models.transformer import folder
from velox.settings import InferenceSettings
from velox.tools.doctor.findings import Finding, error, judged, ok, refusal, skipped, warning

_RETRAIN = "train again: remove MODEL_PATH, then `python train.py`"


def find(settings: InferenceSettings) -> Iterator[Finding]:
    """Read weights, labels and card, as the inference processes will."""
    if settings.is_transformer:
        yield from _transformer(settings)
        return
    if not settings.is_model_ours:
        yield skipped("model", f"MODEL={settings.model} is your own: its labels are known when it is loaded")
        return
    if settings.is_imagenet and lacks_model(settings):
        value = f"ImageNet's is not at {settings.model_path} and {settings.classes_path} yet"
        yield error("model", value, "write it: `velox train` with these settings; `velox up` does it by itself")
        yield skipped("labels", "there is no model that can be read")
        return
    try:
        needed = needs_weights(settings.backend)
        files = card.read(settings.model_path, settings.classes_path, needs_weights=needed)
    except ModelError as problem:
        yield refusal("model", problem)
        yield skipped("labels", "there is no model that can be read")
        return
    yield from judged(
        described(files, settings),
        ok("model", f"{files.version} with {len(files.labels)} labels in {settings.model_path}"),
    )
    yield from judged(labelled(files, settings), ok("labels", listed(files.labels)))


def _transformer(settings: InferenceSettings) -> Iterator[Finding]:
    """Read the folder of a network for texts; what is on the hub is not fetched."""
    path = settings.model_path
    if not path.is_dir():
        yield skipped("model", f"MODEL_PATH={path} is no folder here: the hub is asked for it when the model is loaded")
        return
    try:
        files = folder.read(path)
    except ModelError as problem:
        yield refusal("model", problem)
        return
    if files.weights and not files.export.is_file() and settings.backend != "torch":
        value = f"{path} has no export: the first start makes it, which takes a minute, torch and transformers"
        yield warning("model", value, "make it now: `velox train` with these settings")
    else:
        yield ok("model", f"{len(files.labels)} labels, texts of {files.most_tokens} tokens in {path}")
    unknown = [name for name in settings.target_labels if not any(fnmatchcase(label, name) for label in files.labels)]
    if unknown:
        value = f"TARGET_LABELS names {', '.join(unknown)}, and the model knows {listed(files.labels)}"
        yield error("labels", value, "correct TARGET_LABELS, or set [] if nothing is looked for")
    else:
        yield ok("labels", listed(files.labels))


def described(files: ModelFiles, settings: InferenceSettings) -> Iterator[Finding]:
    """Judge the card."""
    where = card.card_path(settings.model_path)
    if files.card is None:
        value = f"no card that describes {files.version} at {where}"
        yield warning("model", value, f"set MODEL_ARCH ({settings.model_arch} now) to what the weights are")
    elif files.card.preprocessing not in {"", settings.preprocessing}:
        value = f"trained with PREPROCESSING={files.card.preprocessing}, run with {settings.preprocessing}"
        yield warning("model", value, f"set PREPROCESSING={files.card.preprocessing}, or train again")


def labelled(files: ModelFiles, settings: InferenceSettings) -> Iterator[Finding]:
    """Judge whether what is looked for can be found; nobody is told to train over weights from elsewhere."""
    known = listed(files.labels)
    is_trained_here = files.card is not None and not settings.is_imagenet
    for pattern in settings.target_labels:
        if not any(fnmatchcase(label, pattern) for label in files.labels):
            value = f"TARGET_LABELS names {pattern}, and the model knows {known}"
            yield error("labels", value, "correct TARGET_LABELS" + (f", or {_RETRAIN}" if is_trained_here else ""))
    if settings.is_imagenet and len(files.labels) != IMAGENET_CLASSES:
        value = f"MODEL is ImageNet's, with {IMAGENET_CLASSES} labels, and the files know {known}"
        yield error("labels", value, "give this pipeline a MODEL_PATH and a CLASSES_PATH of its own")
    elif not settings.is_imagenet and set(settings.labels) != set(files.labels):
        value = f"COLORS and SHAPES make {', '.join(settings.labels)}, and the model knows {known}"
        otherwise = f"; else {_RETRAIN}" if is_trained_here else ""
        yield warning("labels", value, f"leave it, if the model is meant for other images{otherwise}")
