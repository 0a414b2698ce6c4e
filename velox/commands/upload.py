"""``velox upload``: images into a bucket, and their keys into the table of keys."""

import argparse
from pathlib import Path

from velox.commands import Commands


def add(commands: Commands) -> None:
    """Add the parser."""
    upload = commands.add_parser(
        "upload",
        help="put a folder's images into a bucket, and their keys into image_info",
        description="Uploads the images below FOLDER to BUCKET_URL, DOWNLOADS at a time, and adds a row for each to "
        "the table image_info in KEYS_URL, which `velox produce --source keys` publishes. What is there already with "
        "the same SHA-256 is left alone: after an interruption, run it again.",
    )
    upload.add_argument("folder", type=Path, metavar="FOLDER", help="its files' paths below it become the keys")
    upload.add_argument("--prefix", metavar="P", help="how keys begin (default: as in BUCKET_URL=s3://bucket/P)")
    upload.add_argument("--any", action="store_true", help="all files, also those whose names are not those of images")
    upload.add_argument("--no-keys", action="store_true", help="upload only, and add no row to image_info")
    upload.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from velox import settings
    from velox.tools import upload

    return upload.run(settings.load(), args.folder, prefix=args.prefix, any_kind=args.any, record=not args.no_keys)
