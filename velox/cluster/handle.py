"""How a consumer asks the deployments: by a handle, which knows their replicas and how busy these are."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any, Final

import ray
from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from velox.cluster.frames import Frame, Kind, Reply, Trouble
from velox.cluster.serving import APPLICATION
from velox.core.deadline import Deadline
from velox.errors import SettingsError
from velox.records import ModelInfo
from velox.settings import InferenceSettings

_LOOK_S: Final = 0.5
"""Whoever waits for an answer looks so often whether it should end instead."""
_CONNECT_S: Final = 10.0
_REPLACED_S: Final = 60.0
"""Ray asks a replica that hangs several times how it is before it replaces it; that has to be heard first."""
_REMEDY: Final = "start one with `python service_deployment.py`, or name it with RAY_ADDRESS=host:6379"


class ServeHandle:
    """Asks the application on the Ray that this process is a part of, else on that of RAY_ADDRESS or this machine."""

    def __init__(self, settings: InferenceSettings) -> None:
        """Keep the time that an answer may take; touch nothing yet."""
        self._timeout_s = settings.inference_timeout_s + _REPLACED_S
        self._closing = threading.Event()
        self._handle: Any = None

    def connect(self) -> tuple[ModelInfo, ...] | Trouble:
        """Find the application, and ask which models it has.

        Raises:
            SettingsError: there is no Ray.
        """
        if not ray.is_initialized():
            try:
                # Not by the main thread, whose signals Ray would take over.
                ray.init(address="auto", log_to_driver=False, configure_logging=False)
            except (ConnectionError, RuntimeError) as error:
                msg = f"PREDICTOR=serve: no Ray is running here ({error}); {_REMEDY}"
                raise SettingsError(msg) from error
        try:
            self._handle = serve.get_app_handle(APPLICATION)
        except RayServeException as error:
            return Trouble(Kind.DOWN, f"no application {APPLICATION} is deployed: {_first(error)}")
        found = self._wait(self._handle.describe.remote(), _CONNECT_S)
        return found if isinstance(found, Trouble) else tuple(found)

    def ask(self, frames: Sequence[Frame]) -> Reply:
        """Have frames predicted."""
        reply: Reply = self._wait(self._handle.predict.remote(list(frames)), self._timeout_s)
        return reply

    def close(self) -> None:
        """Wait for no more answers."""
        self._closing.set()

    def _wait(self, response: Any, most_s: float) -> Any:  # noqa: ANN401 - of a library without types
        deadline = Deadline(most_s)
        try:
            while True:
                try:
                    return response.result(timeout_s=min(_LOOK_S, deadline.left_s()))
                except TimeoutError:
                    if self._closing.is_set():
                        response.cancel()
                        return Trouble(Kind.BUSY, "closed")
                    if deadline.has_passed():
                        response.cancel()
                        return Trouble(Kind.DOWN, f"no answer within {most_s:g} s")
        except BackPressureError as error:
            return Trouble(Kind.BUSY, _first(error))
        except (DeploymentUnavailableError, CancelledError) as error:
            return Trouble(Kind.DOWN, _first(error))
        except Exception as error:  # noqa: BLE001 - a replica died, or raised: anything may come here
            return Trouble(Kind.LOST, _first(error))


def _first(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
