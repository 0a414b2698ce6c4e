"""Prepare what `make deploy-check` needs ahead of the tests, and say how long each part took."""

import sys
import time
from collections.abc import Callable

from tests.deploy import chart
from tests.servers.kubernetes_programs import control_plane
from tests.servers.kubernetes_schemas import schemas
from tests.servers.process import ServerError

PARTS: dict[str, Callable[[], object]] = {
    "helm": chart.helm,
    "kubeconform": chart.kubeconform,
    "actionlint": chart.actionlint,
    "schemas": schemas,
    "control plane": control_plane,
}

for name, prepare in PARTS.items():
    started = time.monotonic()
    try:
        place = prepare()
    except ServerError as error:
        sys.exit(f"{name}: {error}")
    sys.stdout.write(f"{name}: {place} ({time.monotonic() - started:.1f} s)\n")
    sys.stdout.flush()
