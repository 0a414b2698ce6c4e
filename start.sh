#!/bin/sh
# What the container runs: trains when there is no model, then becomes the consumer.
set -eu

# Settings that are invalid count as "there is a model": the consumer then says in one line what is wrong.
no_model() {
    python -c '
import sys
from velox.models.backends.selection import lacks_model
from velox.settings import load

sys.exit(not lacks_model(load()))
' 2>/dev/null
}

require_writable() {
    [ -w "$1" ] || {
        owner="DOCKER_UID=$(stat -c %u "$1") DOCKER_GID=$(stat -c %g "$1")"
        echo "start.sh: user $(id -u) cannot write to $1: set its owner in .env ($owner), then docker compose up -d" >&2
        exit 2
    }
}

models=$(dirname "${MODEL_PATH:-model.pth}")
images=${STORAGE_PATH:-discoveries}
if [ -d "$images" ]; then
    require_writable "$images"
fi

if no_model; then
    require_writable "$models"
    # Replicas share the folder: the first one here trains, the others wait and then find its model.
    exec 9<"$models"
    flock 9
    if no_model; then
        python train.py
    fi
    exec 9<&-
fi

exec python consumer.py
