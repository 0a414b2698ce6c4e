"""``python -m velox …`` is ``velox …``."""

import sys

if __name__ == "__main__":  # inference processes import the main module again: nothing may happen then
    from velox.cli import main

    sys.exit(main())
