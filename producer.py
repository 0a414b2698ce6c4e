"""Publish images to Kafka: ``python producer.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["produce", *sys.argv[1:]]))
