#!/bin/bash
# Makes the topics camera_1 … camera_N, one partition each: a camera's frames stay in order, and one consumer has them.
#   ./kafka-init.sh [N]        150 unless told otherwise; safe to run again
# In the official image: docker exec -i broker bash -s -- 150 < kafka-init.sh
# KAFKA_BOOTSTRAP_SERVER: where the broker is; KAFKA_TOPICS_TOOL: Kafka's own tool, found by itself where it is installed.
set -euo pipefail

count=${1:-150}
broker=${KAFKA_BOOTSTRAP_SERVER:-localhost:9092}
tool=${KAFKA_TOPICS_TOOL:-$(command -v kafka-topics.sh || echo /opt/kafka/bin/kafka-topics.sh)}

if ! [[ $count =~ ^[1-9][0-9]{0,3}$ ]]; then
  echo "kafka-init.sh: $count is no number of cameras from 1 to 9999" >&2
  exit 2
fi
if ! [[ -x $tool ]]; then
  echo "kafka-init.sh: $tool is not there; set KAFKA_TOPICS_TOOL, or run it in the broker's container" >&2
  exit 2
fi

# The tool starts a virtual machine of its own each time, half a second at least: those that exist are not asked for.
tries=30
until existing=$("$tool" --bootstrap-server "$broker" --list); do
  if ((--tries == 0)); then
    echo "kafka-init.sh: $broker does not answer; is it up, and is KAFKA_BOOTSTRAP_SERVER right?" >&2
    exit 1
  fi
  echo "kafka-init.sh: $broker does not answer; trying again" >&2
  sleep 2
done
made=0
for ((number = 1; number <= count; number++)); do
  grep -qx "camera_$number" <<<"$existing" && continue
  "$tool" --bootstrap-server "$broker" --create --if-not-exists --topic "camera_$number" --partitions 1 \
    --replication-factor "${KAFKA_REPLICATION:-1}" >/dev/null &
  made=$((made + 1))
  # A few at a time: each takes memory of its own.
  while (($(jobs -rp | wc -l) >= 4)); do wait -n || true; done
done
wait

existing=$("$tool" --bootstrap-server "$broker" --list)
for ((number = 1; number <= count; number++)); do
  if ! grep -qx "camera_$number" <<<"$existing"; then
    echo "kafka-init.sh: camera_$number could not be made; what the tool said is above" >&2
    exit 1
  fi
done
echo "kafka-init.sh: camera_1 to camera_$count are there, $made of them new"
