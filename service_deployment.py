"""Deploy the models of config.yaml on Ray, and consume: ``python service_deployment.py --help``."""

import sys

if __name__ == "__main__":
    from velox.cli import main

    sys.exit(main(["cluster", "up", *sys.argv[1:]]))
