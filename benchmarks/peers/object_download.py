"""Downloads objects again and again, and says what it cost: ``boto3`` one at a time or on threads, or as Velox does.

Run with the Python of either environment; reads its orders from the environment, prints one line of JSON.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Lock

Get = Callable[[str], int]


def main() -> None:
    """Warm up, then count for a time."""
    how, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    get = with_boto3(threads) if how == "boto3" else with_velox()
    keys = cycle(json.loads(os.environ["KEYS"]))
    lock = Lock()

    def run(until: float) -> int:
        count = 0
        while time.monotonic() < until:
            with lock:
                key = next(keys)
            get(key)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [time.monotonic() + 0.5] * threads))
        began, used = time.monotonic(), cpu_s()
        count = sum(pool.map(run, [began + seconds] * threads))
        lasted, used = time.monotonic() - began, cpu_s() - used
    sys.stdout.write(json.dumps({"objects": count, "lasted_s": lasted, "cpu_s": used}) + "\n")


def with_boto3(threads: int) -> Get:
    """As its documentation has it: one client for all threads, and as many connections as there are."""
    import boto3  # noqa: PLC0415 - in one of the two environments
    from botocore.config import Config  # noqa: PLC0415

    client = boto3.client(
        "s3", endpoint_url=os.environ["S3_ENDPOINT"], config=Config(max_pool_connections=max(10, threads))
    )
    name = os.environ["BUCKET_URL"].removeprefix("s3://")
    return lambda key: len(client.get_object(Bucket=name, Key=key)["Body"].read())


def with_velox() -> Get:
    """Through the bucket that a consumer reads from, checks included."""
    from velox.buckets import bucket  # noqa: PLC0415
    from velox.records import Pointer  # noqa: PLC0415
    from velox.settings import load  # noqa: PLC0415

    made = bucket(load())
    if made is None:
        sys.exit("no bucket")
    made.open()
    return lambda key: len(made.get(Pointer(key=key), most_bytes=2**25))


def cpu_s() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
