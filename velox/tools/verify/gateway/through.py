"""The way through a gateway: its process, one that delivers webhooks, and a receiver, all of the run's own."""

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self, TextIO

from velox.errors import StoreUnavailableError
from velox.kafka.lag import Observer
from velox.requests.store import RequestStore
from velox.tools.up.environment import as_environment, free_port
from velox.tools.verify.faults import SERVICES
from velox.tools.verify.gateway.answers import problems_of_rows, problems_of_webhooks
from velox.tools.verify.gateway.asking import Asking
from velox.tools.verify.gateway.questions import Questions
from velox.tools.verify.gateway.receiver import HOST, Receiver
from velox.tools.verify.plan import MAX_DOWN_S, Kind
from velox.tools.verify.premises import REQUESTS_MODEL, Premises
from velox.tools.verify.services import Service
from velox.tools.verify.watch import Offsets
from velox.tools.verify.way import Loading

_RUNG_S: Final = 5
_LADDER: Final = ("0", "1", "2", *[str(_RUNG_S)] * (2 * MAX_DOWN_S // _RUNG_S))
"""Shorter steps than usual: a receiver that is back should not be waited for."""


class ThroughGateway:
    """Ask over HTTP; what is asked, and in which database it is kept, is the run's own."""

    def __init__(self, premises: Premises, run: str, log_file: TextIO) -> None:
        """Plan it; entered, it has the processes and the receiver, and nothing is started but the receiver."""
        settings, plan = premises.settings, premises.plan
        self.records = Questions(run, settings.codec, plan.poison, None)
        self.services: Sequence[Service] = ()
        self._premises = premises
        self._log_file = log_file
        self._port = free_port()
        self._asking: Asking | None = None
        self._receiver: Receiver | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Write the files that the gateway reads, and have a receiver."""
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="velox-verify-")))
        (folder / "models.toml").write_text(f'[{REQUESTS_MODEL}]\nenv_file = "model.env"\n')
        # What is to be said of the model is said by the environment, which wins.
        (folder / "model.env").write_text("")
        changed = self._premises.changed | {"models_path": folder / "models.toml", "webhook_allow": (f"{HOST}/32",)}
        gateway = {"gateway_host": HOST, "gateway_port": self._port, "auth": "off", "rate_limit": ""}
        self.services = [self._service("gateway", changed | gateway, Kind.KILL_GATEWAY, self._port)]
        if self._premises.plan.webhooks:
            secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
            receiver = Receiver(secret, down_s=self._premises.plan.receiver_down_s)
            self._receiver = self._stack.enter_context(receiver)
            port = free_port()
            webhooks = {"webhook_secret": secret, "webhook_ladder_s": _LADDER, "metrics_port": port}
            self.services = [*self.services, self._service("webhooks", changed | webhooks, Kind.KILL_WEBHOOKS, port)]
        return self

    def __exit__(self, *_: object) -> None:
        """Close it all; the processes are closed by whoever looks after them."""
        if self._asking is not None:
            self._asking.close()
        self._stack.close()

    @property
    def outstanding(self) -> int:
        """Count the accepted requests of which nothing was delivered, if anything is to be."""
        if self._receiver is None or self._asking is None:
            return 0
        return max(0, self._asking.delivered - len(self._receiver.taken))

    def load(self, _committed: Callable[[], Offsets], observer: Observer) -> Asking:
        """Ask the gateway; how far behind the group is, the gateway itself looks after."""
        plan, topic = self._premises.plan, self._premises.topics[0]
        self._asking = Asking(
            f"http://{HOST}:{self._port}",
            self.records,
            lambda: {partition: extent.high for partition, extent in observer.extents(topic).items()},
            rate=plan.rate,
            webhook_url=self._receiver.url if self._receiver else None,
        )
        return self._asking

    def problems(self, load: Loading) -> list[str]:
        """Read every accepted request as its client would, and compare it with what was delivered."""
        accepted, published = load.acknowledged, load.published
        url = self._premises.settings.requests_url.get_secret_value()
        found: list[str] = []
        try:
            with closing(RequestStore(url)) as store:
                store.open()
                found += problems_of_rows(self.records, accepted, published, store.look)
        except StoreUnavailableError as error:
            found.append(f"the requests cannot be read back: {error}")
        if self._receiver is not None:
            found += problems_of_webhooks(self.records, accepted, published, self._receiver.taken)
            if self._receiver.forged:
                found.append(f"{self._receiver.forged} webhooks were not signed as they have to be, or made no sense")
        if self._asking is not None and (refused := self._asking.refused):
            number, why = next(iter(refused.items()))
            found.append(f"{len(refused)} requests were not accepted; the first, {self.records.id(number)}: {why}")
        return found

    def facts(self) -> Mapping[str, Any]:
        """Say what was delivered, and how often again."""
        if self._receiver is None:
            return {"through": "gateway"}
        taken = self._receiver.taken
        return {
            "through": "gateway",
            "webhooks": len(taken),
            "webhooks again": sum(map(len, taken.values())) - len(taken),
            "webhooks refused": self._receiver.refused,
        }

    def _service(self, command: str, changed: dict[str, Any], kind: Kind, port: int) -> Service:
        return Service(command, as_environment(changed), self._log_file, port=port, title=SERVICES[kind])
