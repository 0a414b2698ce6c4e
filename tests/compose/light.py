"""The image without torch, in the place of the default one, with the model that the stack has trained."""

import time
from functools import partial

from tests.compose import ledger
from tests.compose.faults import OURS, progress
from tests.compose.report import Report, eventually
from tests.compose.stack import IMAGE, Stack

LIGHT = "velox:runtime"
FILES = ("-f", "docker-compose.yml", "-f", "docker-compose.runtime.yml")
HAS_TORCH = "from importlib.util import find_spec; print(find_spec('torch') is not None)"


def light(stack: Stack, report: Report) -> None:
    """Build it, let it consume; the next `up` brings the default image back."""
    with report.check("the image without torch builds: --target runtime"):
        began = time.monotonic()
        stack.compose(*FILES, "build", "consumer", timeout_s=1800)
        times = stack.bytes_of(IMAGE) / stack.bytes_of(LIGHT)
        report.fact(
            f"image without torch: {stack.bytes_of(LIGHT) / 1e6:.0f} MB, {times:.1f} times smaller; "
            f"built in {time.monotonic() - began:.0f} s"
        )
    with report.check("it consumes with the model that the stack has trained, and stores detections"):
        began = time.time()
        stack.compose(*FILES, "up", "--detach", "--wait", "--no-deps", *OURS)
        assert {stack.inspect(service)["Image"] for service in OURS} == {stack.image(LIGHT)["Id"]}
        assert stack.python("consumer", HAS_TORCH) == "False"
        progress(stack)
        fresh = {"predicted_at": {"$gt": began}, "is_detection": True}
        eventually("a detection", partial(ledger.collection().find_one, fresh))
