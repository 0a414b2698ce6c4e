"""What users and operators change: the model, the settings, the version; stopping and starting again."""

import json
import re
import time

from tests.compose import ledger, readme
from tests.compose.faults import OURS, progress
from tests.compose.report import Report, eventually
from tests.compose.stack import GRACE_S, Stack

KILLED = "137"
UPGRADE = "9.9.9"


def retrained(stack: Stack, report: Report) -> None:
    """The model is removed; then the settings say that there is more to see."""
    weights, classes = stack.folder / "model" / "model.pth", stack.folder / "model" / "classes.json"
    (retrain,) = readme.RETRAIN
    with report.check(f"`{retrain}` retrains"):
        stack.shell(retrain)
        eventually("a model", lambda: weights.exists() and classes.exists(), within_s=300)
        progress(stack)
    *_, mismatch = readme.SYMPTOMS
    with report.check(f"blue, triangle and another target in .env, and a restart: `{mismatch}`"):
        shapes = '["circle", "square", "triangle"]'
        stack.configure(COLORS_BLUE="(255, 0, 0)", SHAPES=shapes, TARGET_LABELS="blue_triangle")
        stack.compose("restart", *OURS)
        eventually("the warning", lambda: mismatch in stack.log("consumer"), within_s=120)
    with report.check("retrained for them, it finds blue triangles"):
        stack.shell(retrain)
        match = r"TARGET MATCH: blue_triangle \(Conf: "
        eventually("a blue triangle", lambda: re.search(match, stack.log("consumer")), within_s=300)
        assert len(json.loads(classes.read_text())) == 9


def stopped(stack: Stack, report: Report) -> None:
    """`down`, then `up`."""
    before = ledger.predicted_at()
    with report.check("`down` ends ours with exit code 0, and kills nobody, within the grace period"):
        began = time.time()
        stack.down()
        seconds = time.time() - began
        codes = {service: event["exitCode"] for service, event in stack.events("die", began).items()}
        assert set(OURS) <= set(codes), codes
        assert {codes[service] for service in OURS} == {"0"}, codes
        assert KILLED not in codes.values(), codes
        assert seconds < 2 * GRACE_S, f"{seconds:.0f} s"
        report.say(f"     exit codes {codes}")
    with report.check("`up` again goes on where it was: nothing is trained or predicted again"):
        stack.up()
        progress(stack)
        assert "raining" not in stack.log("consumer"), stack.log("consumer")[:2000]
        after = ledger.predicted_at()
        again = [key for key, when in before.items() if after.get(key) != when]
        assert not again, f"{len(again)} documents changed"


def upgraded(stack: Stack, report: Report) -> None:
    """Another version of the image takes over while records flow."""
    with report.check("an image with another version label replaces the running one"):
        stack.configure(DOCKER_IMAGE_VERSION=UPGRADE)
        stack.compose("build", timeout_s=1200)
        stack.up()
        assert stack.image()["Config"]["Labels"]["org.opencontainers.image.version"] == UPGRADE
        assert stack.inspect("consumer")["Image"] == stack.image()["Id"]
        progress(stack)
