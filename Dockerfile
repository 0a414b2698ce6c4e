# Two images of the consumer and the producer. The last stage is the default: it trains, and runs on CPU and CUDA alike.
# --target runtime is a light one without torch: for CPUs, and for a model that was trained elsewhere.

FROM python:3.11.14-slim-bookworm AS base

FROM base AS installer
ARG UV_VERSION=0.13.8
# System certificates: a company's own authority, installed in the base, is trusted here too.
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_SYSTEM_CERTS=1 VIRTUAL_ENV=/opt/venv
WORKDIR /build
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}" && uv venv /opt/venv

FROM installer AS runtime-dependencies
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=requirements-runtime.txt,target=requirements-runtime.txt \
    uv pip sync --require-hashes requirements-runtime.txt

FROM installer AS dependencies
# An index with CPU-only torch wheels saves gigabytes of CUDA libraries; its files are not those of the lock, nor their hashes.
ARG TORCH_INDEX=
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    if [ -z "${TORCH_INDEX}" ]; then \
        uv pip sync --require-hashes requirements.txt; \
    else \
        uv pip install --no-verify-hashes --index-strategy unsafe-best-match --index "${TORCH_INDEX}" \
            -c requirements.txt -r pyproject.toml --extra torch --extra openvino --extra onnxruntime \
            --extra imagenet --extra text --extra transformers --extra objects --extra cameras --extra gateway --extra dashboard --extra otlp; \
    fi

# What both images are, but for what is in them.
FROM base AS shell
# HOME and USER: Compose runs this as the host's user, whom /etc/passwd does not know, on a read-only file system.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=velox
WORKDIR /app
RUN useradd --uid 1000 --no-create-home --home-dir /tmp velox && install -d -o 1000 -g 1000 discoveries model
USER 1000:1000
EXPOSE 8000
# Ready, not merely alive. Until the first answer the checks are frequent, and training has time.
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=15m --start-interval=2s \
    CMD ["python", "-Ic", "from os import environ as e; from urllib.request import urlopen; urlopen(f'http://127.0.0.1:{e.get(\"METRICS_PORT\") or 8000}/readyz', timeout=4)"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Velox" \
      org.opencontainers.image.description="Kafka topics of images to stored, observable model predictions" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM shell AS runtime
COPY --from=runtime-dependencies /opt/venv /opt/venv
COPY consumer.py producer.py upload.py ./
COPY pipelines pipelines
COPY velox velox
CMD ["python", "consumer.py"]

FROM shell AS velox
COPY --from=dependencies /opt/venv /opt/venv
COPY consumer.py producer.py train.py upload.py start.sh ./
COPY pipelines pipelines
COPY velox velox
CMD ["./start.sh"]
