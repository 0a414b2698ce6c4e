"""Put images into a bucket: ``python upload.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["upload", *sys.argv[1:]]))
