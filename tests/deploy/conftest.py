"""The programs that these tests need, compiled on a machine that has never run them."""

import pytest

from tests.deploy import chart
from tests.servers import kubernetes_schemas


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    chart.helm()
    chart.kubeconform()
    kubernetes_schemas.schemas()
