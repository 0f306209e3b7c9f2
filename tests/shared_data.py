"""Where the sets lie that tests use where they are present: beside the checkout."""

from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data"
