"""``velox upload``: a folder's images into a bucket, and their keys into the table of keys."""

from velox.tools.upload.run import run

__all__ = ["run"]
