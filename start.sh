#!/bin/sh
# What the container runs: trains when there is no model, then becomes the consumer. With `--models NAMES`, a consumer of
# the models that models.toml names.
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

# The models of models.toml whose files have to be written first: the folder of their files, and the pipeline file.
lacking() {
    python -c '
from velox.errors import SettingsError
from velox.models.backends.selection import lacks_model
from velox.settings import load
from velox.settings.models import read_models

for entry in read_models(load().models_path).values():
    try:
        settings = entry.load()
    except SettingsError:
        continue
    if entry.same_as is None and lacks_model(settings):
        print(settings.model_path.parent, entry.env_file, sep="\t")
' 2>/dev/null
}

# What fails here costs its own model alone: the consumer says what is wrong with it, and runs the others.
make_models() {
    tab=$(printf '\t')
    lacking | while IFS=$tab read -r folder file; do
        mkdir -p "$folder" || continue
        (
            flock 9
            if lacking | grep -qxF "$folder$tab$file"; then
                VELOX_ENV_FILE=$file python train.py </dev/null
            fi
        ) 9<"$folder" || continue
    done
}

if [ "${1:-}" = --models ]; then
    make_models
    exec python consumer.py "$@"
fi

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
