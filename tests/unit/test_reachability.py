"""Which address cannot be reached, whose it is to correct, and that it is told once in a while."""

import pytest
from confluent_kafka import KafkaError

from tests.fakes import FakeClock
from velox.core.seldom import Seldom
from velox.kafka import reachability
from velox.kafka.reachability import Reachability, unreachable
from velox.settings import Settings

BOOTSTRAP = "one:9092, two:9093"
REFUSED = "Connect to ipv4#10.0.0.7:9092 failed: Connection refused"


def transport(text: str, code: int = KafkaError._TRANSPORT) -> KafkaError:
    return KafkaError(code, text)


ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down")


@pytest.mark.parametrize(
    "text",
    [
        f"one:9092/bootstrap: {REFUSED} (after 3ms in state CONNECT, 2 identical error(s) suppressed)",
        f"sasl_ssl://two:9093/bootstrap: {REFUSED}",
        f"GroupCoordinator: one:9092: {REFUSED} (after 0ms in state CONNECT)",
        f"two:9093/2: {REFUSED}",
        f"elsewhere:1/bootstrap: {REFUSED}",
    ],
)
def test_an_address_of_ours_is_named_with_the_reason_and_no_more(text: str) -> None:
    address = next(name for name in ("one:9092", "two:9093", "elsewhere:1") if name in text)
    assert unreachable(transport(text), BOOTSTRAP) == f"{address} cannot be reached: {REFUSED}"


@pytest.mark.parametrize("address", ["broker-7.internal:9092", "ne:9092", "e:9093", "localhost:1"])
def test_an_address_that_the_cluster_gave_is_the_brokers_to_correct(address: str) -> None:
    told = str(unreachable(transport(f"{address}/7: {REFUSED} (after 3ms in state CONNECT)"), BOOTSTRAP))
    assert told.startswith(
        f"{address} cannot be reached, and that is the address which the cluster at {BOOTSTRAP} gives"
    )
    assert told.endswith(f": {REFUSED}; correct advertised.listeners of the broker, or make the address known here")


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT])
def test_there_are_several_ways_not_to_be_reached(code: int) -> None:
    assert unreachable(transport(f"one:9092/bootstrap: {REFUSED}", code), BOOTSTRAP) is not None


@pytest.mark.parametrize(
    "error",
    [
        transport("Local: Broker transport failure"),
        transport("Connection refused"),
        KafkaError(KafkaError._AUTHENTICATION, "one:9092/bootstrap: SASL authentication failed"),
        KafkaError(KafkaError._MAX_POLL_EXCEEDED, "one:9092/1: polled too late"),
    ],
)
def test_other_errors_are_not_about_an_address(error: KafkaError) -> None:
    assert unreachable(error, BOOTSTRAP) is None
    one = Reachability(Settings(kafka_bootstrap_server="one:9092"))
    assert not one.heard(error)
    assert one.problem is None


class Bench:
    """What is heard, at times of the test's choice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        monkeypatch.setattr(reachability, "_TOLD", Seldom(15, clock=self.clock))
        self.meanwhile = ""
        self.reachability = Reachability(
            Settings(kafka_bootstrap_server="one:9092,two:9093"),
            meanwhile=lambda: self.meanwhile,
            clock=self.clock,
        )

    def hear(self, address: str, why: str = REFUSED) -> None:
        assert self.reachability.heard(transport(f"{address}/bootstrap: {why}"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_each_address_is_told_once_in_a_quarter_of_a_minute_however_the_driver_words_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(60):
        bench.hear("one:9092", f"{REFUSED} {second}")
        bench.hear("two:9093")
        bench.clock.advance(1)
    told = [message.split()[1] for message in caplog.messages]
    assert told == ["one:9092", "two:9093"] * 4


def test_a_problem_is_known_while_it_lasts_and_half_a_minute_longer(bench: Bench) -> None:
    assert bench.reachability.problem is None
    bench.hear("one:9092")
    bench.clock.advance(20)
    bench.hear("two:9093")
    problems: list[str | None] = []
    for seconds in (29, 1):
        bench.clock.advance(seconds)
        problems.append(bench.reachability.problem)
    assert problems == [f"two:9093 cannot be reached: {REFUSED}", None]


def test_that_all_are_down_is_told_only_where_nothing_is_known_of_each(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.hear("one:9092")
    assert bench.reachability.heard(ALL_DOWN)
    assert bench.reachability.problem == f"one:9092 cannot be reached: {REFUSED}"
    bench.clock.advance(31)
    assert bench.reachability.heard(ALL_DOWN)
    assert bench.reachability.problem == "one:9092,two:9093 does not answer"
    assert caplog.messages == [
        f"Kafka: one:9092 cannot be reached: {REFUSED}",
        "Kafka: one:9092,two:9093 does not answer",
    ]


def test_what_it_means_for_the_client_is_told_with_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.meanwhile = "; 3 records wait"
    bench.hear("one:9092")
    assert caplog.messages == [f"Kafka: one:9092 cannot be reached: {REFUSED}; 3 records wait"]


def test_of_several_clients_in_a_process_one_tells_at_a_time(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    others = [Reachability(Settings(kafka_bootstrap_server="one:9092"), clock=bench.clock) for _ in range(3)]
    for _ in range(4):
        for each in others:
            assert each.heard(transport(f"one:9092/bootstrap: {REFUSED}"))
            assert each.problem is not None, "each knows"
        bench.clock.advance(3)
    assert len(caplog.messages) == 1
