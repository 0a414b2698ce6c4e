"""As the official image: KAFKA_A_B in the environment is the property a.b; formats the storage, becomes the broker."""

import os
import subprocess
from pathlib import Path

PROPERTIES = Path("/opt/kafka/config/server.properties")
HEAP = "KAFKA_HEAP_OPTS"
JAVA = ["java", *os.environ.get(HEAP, "-Xmx512m").split(), "-XX:+UseSerialGC", "-cp", "/opt/kafka/libs/*"]

settings = {
    name.removeprefix("KAFKA_").lower().replace("_", "."): value
    for name, value in os.environ.items()
    if name.startswith("KAFKA_") and name != HEAP
}
PROPERTIES.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
cluster = os.environ["CLUSTER_ID"]
tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(PROPERTIES)]
subprocess.run([*JAVA, *tool], check=True)
os.execvp("java", [*JAVA, "kafka.Kafka", str(PROPERTIES)])  # noqa: S606 - the broker becomes process 1 and gets signals
