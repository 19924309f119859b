# The image of workers, control plane and commands.
#
#   docker build -t streamsampler .
#
# Kernels are compiled while it is built, for any CPU of its architecture, so that a pod starts at
# once and with a read-only root file system. What must be written goes to volumes: the store and
# /tmp.

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/streamsampler
ENV PATH=/opt/streamsampler/bin:$PATH
COPY requirements-image.lock ./
# faust-streaming has no wheel for Linux on arm64; without its optional extensions its source needs no
# compiler either.
RUN if [ "$(uname -m)" = aarch64 ]; then set -- --no-binary faust-streaming; fi \
    && NO_CYTHON=1 pip install --require-hashes --only-binary :all: "$@" -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY streamsampler streamsampler
COPY topologies topologies
# The build's own tools come without the lock's hashes, and stay in this stage.
RUN python -m venv /opt/tools \
    && /opt/tools/bin/pip install hatchling==1.27.0 \
    && /opt/tools/bin/python -m hatchling build -t wheel -d /src/dist \
    && pip install --no-deps /src/dist/*.whl \
    # Layers keep times to the second, and Numba's cache goes by the times of sources.
    && find /opt/streamsampler -name '*.py' -exec touch -d @1700000000 {} +
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/streamsampler/kernels
RUN streamsampler warm-up && streamsampler warm-up

FROM python:3.12.12-slim-bookworm
LABEL org.opencontainers.image.title="streamsampler" \
      org.opencontainers.image.description="A tail sampler for OpenTelemetry traces that lives in Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent sampler \
    && install -d -o sampler -g sampler /var/lib/streamsampler
COPY --from=build /opt/streamsampler /opt/streamsampler
ENV PATH=/opt/streamsampler/bin:$PATH \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/opt/streamsampler/kernels \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/streamsampler
EXPOSE 9478 6066
# The program is process 1 and ends in good order on SIGTERM by itself.
ENTRYPOINT ["streamsampler"]
CMD ["--help"]
