"""What a rate of images takes, calculated from what one costs: cores, brokers, network, GPUs, money. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import ceil
from typing import Any

_HOURS_A_MONTH = 730
_BITS = 8
_GB = 1e9
_TB = 1e12


def term(default: float, meaning: str) -> Any:  # noqa: ANN401 - as dataclasses.field, whose place it takes
    """Declare a named input with its default; the command offers it as an option, the document lists it."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Costs:
    """What one image costs, as measured: CPU in milliseconds of the cores it was measured on."""

    fetcher_ms: float
    """CPU of the fetcher: poll, parse, hand over, store, commit."""
    inference_ms: float
    """CPU of an inference process: decode, resize, predict."""
    decode_ms: float
    """The part of it that stays on the CPU when the model moves to a GPU: decode and resize."""
    broker_ms: float
    """CPU of the broker that an image is written to and read from once, without replicas."""
    database_ms: float
    """CPU of the database for one stored document."""
    image_bytes: float
    """Size of a record's value."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What nobody measured here: the machines, how full they may be, what is kept. Each is an option of the command."""

    use: float = term(
        0.7, "share of each core, network card and disk that may be busy: room for rebalances and catching up"
    )
    core_speed: float = term(1.0, "speed of a core, as a multiple of the measured one's")
    stored_share: float = term(0.01, "share of the images that are detections, and stored")
    document_bytes: float = term(500, "size of a stored document")
    replicas: float = term(3, "copies of each record in Kafka")
    compression: float = term(1.0, "size of a record on the wire and on disk over its own: JPEGs do not shrink")
    retention_hours: float = term(1, "how long Kafka keeps records")
    machine_cores: float = term(32, "cores of a consumer's machine")
    broker_cores: float = term(16, "cores of a broker")
    broker_gbit_per_s: float = term(25, "network of a broker, each way")
    broker_disk_mb_per_s: float = term(2000, "what a broker's disks write")
    broker_disk_tb: float = term(15, "what a broker's disks hold")
    broker_partitions: float = term(4000, "partitions, replicas counted, that one broker carries")
    partition_mb_per_s: float = term(10, "what one partition takes")
    partitions_per_consumer: float = term(2, "partitions for each consumer at least, so that it can be shared out anew")
    gpu_images_per_s: float = term(
        15_000, "images a second of one GPU; not measured, the aim of this project for an H200"
    )


@dataclass(frozen=True, slots=True)
class Prices:
    """Round figures in one currency, of no provider: put your own."""

    core_hour_price: float = term(0.04, "price of a core for an hour, memory included")
    gpu_hour_price: float = term(4.0, "price of a GPU for an hour, without the cores beside it")
    disk_gb_month_price: float = term(0.08, "price of a GB of brokers' disk for a month")
    network_gb_price: float = term(0.01, "price of a GB that crosses from one zone to another")
    crossing_share: float = term(2 / 3, "share of consumers' reading that crosses zones: three, evenly used")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What it takes. Rates in bytes are a second's."""

    cores: float
    """Busy cores of fetchers and inference processes, divided by the share of each that may be busy."""
    inference_processes: int
    consumers: int
    inference_per_consumer: int
    machines: int
    partitions: int
    produced_bytes: float
    """What producers send, and what consumers read."""
    broker_in_bytes: float
    """Into all brokers: from producers and from other brokers."""
    broker_out_bytes: float
    """Out of all brokers: to other brokers and to consumers."""
    kept_bytes: float
    """On all brokers' disks."""
    broker_bounds: Mapping[str, int]
    """Brokers that each of a broker's limits asks for by itself."""
    broker_cores: float
    stored_per_s: float
    stored_bytes: float
    """Images and documents that are stored."""
    database_cores: float
    gpus: int
    gpu_cores: float
    """Cores beside the GPUs: fetchers, decode and resize."""

    @property
    def brokers(self) -> int:
        """As many as the tightest limit asks for."""
        return max(self.broker_bounds.values())


def fleet(images_per_s: float, costs: Costs, given: Assumptions) -> Fleet:
    """Calculate what a rate takes; every line here is a formula of the document.

    A fetcher is counted as at most one core, though librdkafka's threads and the sinks' run beside its Python: more
    consumers than needed rather than too few.
    """

    def cores(ms: float, per_s: float = images_per_s) -> float:
        return per_s * ms / 1000 / given.core_speed / given.use

    produced = images_per_s * costs.image_bytes * given.compression
    broker_in = produced * given.replicas
    # To each other replica, and once to consumers.
    broker_out = produced * (given.replicas - 1) + produced
    kept = broker_in * given.retention_hours * 3600
    fits = max(1, int(given.machine_cores) - 1)
    beside = min(fits, max(1, int(costs.inference_ms / costs.fetcher_ms))) if costs.fetcher_ms else fits
    processes = ceil(cores(costs.inference_ms))
    consumers = max(ceil(processes / beside), ceil(cores(costs.fetcher_ms)))
    partitions = max(
        ceil(consumers * given.partitions_per_consumer),
        ceil(produced / (given.partition_mb_per_s * 1e6)),
    )
    broker_cores = cores(costs.broker_ms) * given.replicas
    wire = given.broker_gbit_per_s * _GB / _BITS * given.use
    bounds = {
        "replicas": ceil(given.replicas),
        "network in": ceil(broker_in / wire),
        "network out": ceil(broker_out / wire),
        "disk writes": ceil(broker_in / (given.broker_disk_mb_per_s * 1e6 * given.use)),
        "disk space": ceil(kept / (given.broker_disk_tb * _TB * given.use)),
        "cores": ceil(broker_cores / given.broker_cores),
        "partitions": ceil(partitions * given.replicas / given.broker_partitions),
    }
    stored = images_per_s * given.stored_share
    total = cores(costs.fetcher_ms + costs.inference_ms)
    return Fleet(
        cores=total,
        inference_processes=processes,
        consumers=consumers,
        inference_per_consumer=beside,
        machines=ceil(total / given.machine_cores),
        partitions=partitions,
        produced_bytes=produced,
        broker_in_bytes=broker_in,
        broker_out_bytes=broker_out,
        kept_bytes=kept,
        broker_bounds=bounds,
        broker_cores=broker_cores,
        stored_per_s=stored,
        stored_bytes=stored * (costs.image_bytes + given.document_bytes),
        database_cores=cores(costs.database_ms, stored),
        gpus=ceil(images_per_s / (given.gpu_images_per_s * given.use)),
        gpu_cores=cores(costs.fetcher_ms + costs.decode_ms),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes into the calculation."""

    images_per_s: float
    costs: Costs
    given: Assumptions = field(default_factory=Assumptions)
    prices: Prices = field(default_factory=Prices)
    on_gpus: bool = False

    def fleet(self) -> Fleet:
        """Calculate what it takes."""
        return fleet(self.images_per_s, self.costs, self.given)

    def with_input(self, group: str, name: str, factor: float) -> "Plan":
        """Multiply one input; a share ends at 1."""
        inputs = getattr(self, group)
        value = getattr(inputs, name) * factor
        is_share = name == "use" or name.endswith("_share")
        changed: Any = {group: replace(inputs, **{name: min(1.0, value) if is_share else value})}
        return replace(self, **changed)


def price_per_million(plan: Plan) -> dict[str, float]:
    """Price a million images by term, in the prices' currency; what is stored is not kept for that, nor are people."""
    needed, given, prices = plan.fleet(), plan.given, plan.prices
    hours = 1e6 / plan.images_per_s / 3600
    # Replicas lie in other zones; producers may be anywhere.
    between_bytes = needed.produced_bytes * (given.replicas - 1 + prices.crossing_share)
    if plan.on_gpus:
        compute = {
            "GPUs": needed.gpus * prices.gpu_hour_price,
            "cores beside GPUs": needed.gpu_cores * prices.core_hour_price,
        }
    else:
        compute = {"inference and fetch": needed.cores * prices.core_hour_price}
    an_hour = {
        **compute,
        "brokers": needed.brokers * given.broker_cores * prices.core_hour_price,
        "brokers' disks": needed.kept_bytes / _GB * prices.disk_gb_month_price / _HOURS_A_MONTH,
        "database": needed.database_cores * prices.core_hour_price,
    }
    return {
        **{name: price * hours for name, price in an_hour.items()},
        "network between zones": between_bytes * hours * 3600 / _GB * prices.network_gb_price,
    }


@dataclass(frozen=True, slots=True)
class Swing:
    """What a million images costs when one input is half of what it is, and twice."""

    name: str
    half: float
    twice: float


def swings(plan: Plan) -> list[Swing]:
    """Halve and double each input in turn; those that move the price most come first."""

    def total(group: str, name: str, factor: float) -> float:
        return sum(price_per_million(plan.with_input(group, name, factor)).values())

    found = [
        Swing(spec.name, total(group, spec.name, 0.5), total(group, spec.name, 2.0))
        for group in ("costs", "given", "prices")
        for spec in fields(getattr(plan, group))
    ]
    return sorted(found, key=lambda swing: -abs(swing.twice - swing.half))
