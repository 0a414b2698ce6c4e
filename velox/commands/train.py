"""``velox train``: training a model."""

import argparse
import logging
import os
import sys

from velox.commands import Commands
from velox.errors import ModelError
from velox.loading import is_installed


def add(commands: Commands) -> None:
    """Add the parser."""
    train = commands.add_parser(
        "train",
        help="train a model on drawn shapes",
        description="Trains MODEL_ARCH on drawn shapes; writes MODEL_PATH, CLASSES_PATH, the model card model.json, "
        "and model.onnx and model.int8.onnx, which run without torch. With MODEL=velox.models.imagenet:"
        "ImageNetClassifier nothing is trained: the weights are taken as torchvision publishes them. With MODEL="
        "velox.models.text_classifier:TextClassifier the folder MODEL_PATH gets its export and its int8.",
    )
    train.add_argument(
        "--all-precisions",
        action="store_true",
        help="measure how every precision of every installed backend agrees with fp32, for a model that will run "
        "elsewhere or with other settings; by default only what a start here with these settings may choose",
    )
    train.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import settings

    loaded = settings.load()  # a mistake in it need not wait for torch, which takes seconds
    if not is_installed("torch"):
        raise ModelError("training needs torch, which is not installed: pip install 'velox[torch]'")
    # Threads that spin while they wait for each other get little done beside a neighbour: training takes three times as
    # long. To be set before torch is loaded; what the user has set stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if loaded.is_imagenet:
        if args.all_precisions:
            raise ModelError("--all-precisions measures models that are trained; ImageNet's runs in float32: leave it")
        from velox.models import imagenet_files

        code = imagenet_files.run(loaded)
    elif loaded.is_transformer:
        if args.all_precisions:
            raise ModelError(
                "--all-precisions measures models that are trained; this one measures int8 anyway: leave it"
            )
        from velox.models.transformer import making

        code = making.run(loaded)
    else:
        from velox.models import training

        code = training.run(loaded, all_precisions=args.all_precisions)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do, and torch's farewell would take more than a second
