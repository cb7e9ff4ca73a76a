"""The command ``python -m rtml``, which is also installed as ``rtml``."""

from rtml.pipeline.commands import rtml

if __name__ == "__main__":
    rtml(prog_name="rtml")
