"""Predict what comes from Kafka and store the results: ``python consumer.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["consume", *sys.argv[1:]]))
