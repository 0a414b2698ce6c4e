"""`kafka-init.sh` makes a topic for each camera; a stand-in takes the options of Kafka's own tool that it uses."""

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import REPOSITORY, environment
from tests.servers.kafka import KafkaServer

STAND_IN = f"""#!{sys.executable}
import argparse
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
parser = argparse.ArgumentParser()
for name in ("--list", "--create", "--if-not-exists"):
    parser.add_argument(name, action="store_true")
for name in ("--bootstrap-server", "--topic", "--partitions", "--replication-factor"):
    parser.add_argument(name)
asked = parser.parse_args()
admin = AdminClient({{"bootstrap.servers": asked.bootstrap_server}})
if asked.list:
    print(*admin.list_topics(timeout=10).topics, sep="\\n")
else:
    topic = NewTopic(asked.topic, int(asked.partitions), int(asked.replication_factor))
    admin.create_topics([topic])[asked.topic].result()
"""


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """The tests' broker comes without the tool; the official image has it."""
    path = tmp_path / "kafka-topics.sh"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


def init(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(REPOSITORY / "kafka-init.sh"), *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, check=False)


def test_each_camera_has_a_topic_of_one_partition_and_a_second_run_changes_nothing(
    kafka: KafkaServer, tool: Path
) -> None:
    told = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "KAFKA_TOPICS_TOOL": tool}
    first = init("2", **told)
    assert (first.returncode, first.stderr) == (0, "")
    assert "camera_1 to camera_2 are there, 2 of them new" in first.stdout
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in ("camera_1", "camera_2")} == {"camera_1": 1, "camera_2": 1}
    assert "camera_3" not in topics
    assert "0 of them new" in init("2", **told).stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(("0",), "0 is no number of cameras"), (("many",), "many is no number"), (("3",), "/none is not there")],
)
def test_what_it_cannot_do_it_says(arguments: tuple[str, ...], complaint: str) -> None:
    done = init(*arguments, KAFKA_TOPICS_TOOL="/none")
    assert done.returncode == 2
    assert complaint in done.stderr
