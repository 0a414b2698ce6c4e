"""Train a model on drawn shapes: ``python train.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
