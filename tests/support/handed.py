"""Where the recordings are that lie beside a checkout, or where ``RTML_SHARED_DATA`` says; a user has none."""

import os
from pathlib import Path

DATA = Path(os.environ.get("RTML_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))
