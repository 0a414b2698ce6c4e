"""Read cameras in actors on Ray, and publish their frames: ``python ray_producer.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["cluster", "produce", *sys.argv[1:]]))
