"""Run the notebooks of a run: ``python -m rtml.pipeline``."""

import sys

from rtml.pipeline.runner import main

if __name__ == "__main__":
    sys.exit(main())
