"""What ``velox verify`` is asked to do, and when each fault is due."""

import random
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from velox.errors import SettingsError
from velox.settings import Settings
from velox.tools.verify.numbered import KEYS

MAX_COUNT: Final = 10_000_000
MAX_FAULTS: Final = 1000
MAX_CONSUMERS: Final = 64
MAX_RATE: Final = 1_000_000
MAX_DOWN_S: Final = 600
_ON_WEBHOOKS: Final = ("--kill-webhooks", "--receiver-down")
_ON_CONSUMERS: Final = ("--kill-consumer", "--kill-inference", "--rebalance")
_EMBEDDED_COUNT: Final = 1_000_000
_EMBEDDED_DEAD_LETTERS: Final = 8000
"""What the embedded broker's dead-letter topic surely keeps of letters of 1 KiB each."""


class Kind(StrEnum):
    """A kind of fault."""

    KILL_CONSUMER = "kill consumer"
    KILL_INFERENCE = "kill inference"
    KILL_GATEWAY = "kill gateway"
    KILL_WEBHOOKS = "kill webhooks"
    JOIN = "consumer joins"
    LEAVE = "consumer leaves"
    BROKER_RESTART = "broker restart"
    SINK_OUTAGE = "sink outage"


class Fault(NamedTuple):
    """One fault, injected before the record with the number ``at`` is published."""

    at: int
    kind: Kind
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The arguments of one run."""

    count: int = 10_000
    rate: float = 0.0
    """Records a second; 0 = as fast as the consumers keep up."""
    consumers: int = 1
    """How many are started; 0 = none, those that run already are checked."""
    topics: int = 0
    """How many topics of its own the run has; 0 = as many as KAFKA_TOPIC names."""
    kill_consumer: int = 0
    kill_inference: int = 0
    rebalance: int = 0
    broker_restart: tuple[str, ...] = ()
    sink_outage: tuple[str, ...] = ()
    poison: float = 0.0
    """Share of the records whose own data is bad."""
    embedded: bool = False
    through_gateway: bool = False
    """Records are requests to a gateway of the run's own."""
    webhooks: bool = False
    """Each result is delivered to a receiver of the run's own."""
    receiver_down_s: float = 0.0
    """For so long from the first delivery on, that receiver refuses all."""
    kill_gateway: int = 0
    kill_webhooks: int = 0
    own_model: bool = False
    """The model of the settings instead of the built-in one."""
    keep: bool = False
    json_path: Path | None = None
    log_path: Path = Path("velox-verify.log")
    """Where the consumers log to."""

    def check(self, settings: Settings) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: an argument or a setting, or two that contradict each other; the message names them.
        """
        bounds = {
            "--count": (self.count, 1, MAX_COUNT),
            "--rate": (self.rate, 0, MAX_RATE),
            "--consumers": (self.consumers, 0, MAX_CONSUMERS),
            "--topics": (self.topics, 0, KEYS),
            "--kill-consumer": (self.kill_consumer, 0, MAX_FAULTS),
            "--kill-inference": (self.kill_inference, 0, MAX_FAULTS),
            "--rebalance": (self.rebalance, 0, MAX_FAULTS),
            "--kill-gateway": (self.kill_gateway, 0, MAX_FAULTS),
            "--kill-webhooks": (self.kill_webhooks, 0, MAX_FAULTS),
            "--receiver-down": (self.receiver_down_s, 0, MAX_DOWN_S),
        }
        for name, (value, least, most) in bounds.items():
            if not least <= value <= most:
                raise SettingsError(f"{name} {value:g}: must be from {least} to {most}")
            if not self.consumers and value and name in _ON_CONSUMERS:
                raise SettingsError(f"{name} and --no-consumer: only consumers that it started itself are disturbed")
        if self.json_path and not self.json_path.absolute().parent.is_dir():
            raise SettingsError(f"--json {self.json_path}: there is no folder {self.json_path.parent}")
        if len(self.faults()) >= self.count:
            raise SettingsError(f"--count {self.count}: fewer records than faults; there is no time to inject them")
        if 0 < settings.dead_letter_ratio <= self.poison:
            raise SettingsError(
                f"--poison {self.poison:g} with DEAD_LETTER_RATIO={settings.dead_letter_ratio:g}: consumers would stop"
            )
        self._check_gateway()
        if settings.is_apart and not self.through_gateway:
            self._check_objects(settings)
        if not self.consumers:
            self._check_others_consumers(settings)
        if self.embedded:
            self._check_embedded()

    def faults(self, seed: int = 0) -> list[Fault]:
        """Spread all faults evenly over the records, the kinds in random order (the same for the same seed)."""
        asked = [
            *[(Kind.KILL_CONSUMER, "")] * self.kill_consumer,
            *[(Kind.KILL_INFERENCE, "")] * self.kill_inference,
            *[(Kind.KILL_GATEWAY, "")] * self.kill_gateway,
            *[(Kind.KILL_WEBHOOKS, "")] * self.kill_webhooks,
            *[(Kind.JOIN, "")] * self.rebalance,
            *((Kind.BROKER_RESTART, command) for command in self.broker_restart),
            *((Kind.SINK_OUTAGE, command) for command in self.sink_outage),
        ]
        random.Random(seed).shuffle(asked)  # noqa: S311 - mixes faults, guards no secret
        step = self.count / (len(asked) + 1)
        return [Fault(round(step * (i + 1)), kind, command) for i, (kind, command) in enumerate(asked)]

    def _check_gateway(self) -> None:
        asked = {
            "--webhooks": self.webhooks,
            "--kill-gateway": self.kill_gateway,
            "--kill-webhooks": self.kill_webhooks,
            "--receiver-down": self.receiver_down_s,
        }
        if not self.through_gateway:
            if named := next((name for name, value in asked.items() if value), None):
                raise SettingsError(f"{named} needs --through gateway")
            return
        if not self.webhooks and (named := next((name for name in _ON_WEBHOOKS if asked[name]), None)):
            raise SettingsError(f"{named} needs --webhooks")
        for name, is_given in {
            "--no-consumer": not self.consumers,
            "--own-model": self.own_model,
            "--topics": self.topics,
        }.items():
            if is_given:
                raise SettingsError(f"--through gateway and {name}: the run has one topic and one model, of its own")

    def _check_objects(self, settings: Settings) -> None:
        if settings.bucket_url.startswith("memory:"):
            raise SettingsError(f"BUCKET_URL={settings.bucket_url}: each process has memory of its own; name a folder")
        if (self.own_model or not self.consumers) and settings.source.partition(":")[0] in {"keys", "lines"}:
            msg = f"SOURCE={settings.source}: it yields keys, and objects are made of payloads"
            raise SettingsError(f"{msg}; set SOURCE=folder:PATH or shapes for this run")

    def _check_others_consumers(self, settings: Settings) -> None:
        if self.embedded:
            raise SettingsError("--embedded and --no-consumer: nobody else consumes from the embedded broker")
        if self.topics:
            raise SettingsError(f"--topics {self.topics} and --no-consumer: records go to KAFKA_TOPIC as it is")
        if settings.store != "all":
            raise SettingsError(
                f"--no-consumer with STORE={settings.store}: a record that is no detection leaves no trace to check; "
                "set STORE=all for the consumers and here"
            )
        if settings.max_stored_files:
            raise SettingsError("--no-consumer with MAX_STORED_FILES: images that are deleted cannot be counted")

    def _check_embedded(self) -> None:
        if self.broker_restart:
            raise SettingsError("--embedded and --broker-restart: the embedded broker forgets everything when it ends")
        if self.count > _EMBEDDED_COUNT:
            raise SettingsError(f"--embedded --count {self.count}: at most {_EMBEDDED_COUNT}")
        if self.count * self.poison > _EMBEDDED_DEAD_LETTERS:
            raise SettingsError(
                f"--embedded: {self.count * self.poison:.0f} dead letters are more than the {_EMBEDDED_DEAD_LETTERS} "
                "that the embedded broker keeps; lower --count or --poison"
            )
