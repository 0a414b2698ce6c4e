#!/bin/sh
# What the container runs: trains when there is no model, then becomes the consumer.
set -eu

# Settings that are invalid count as "there is a model": the consumer then says in one line what is wrong.
no_model() {
    python -c '
import sys
from velox.settings import Settings, load

settings = load()
own_model = settings.model != Settings.model_fields["model"].default
sys.exit(own_model or (settings.model_path.is_file() and settings.classes_path.is_file()))
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
