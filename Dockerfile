# The server with the bundle that boxmask ships.
#
#   docker build --tag boxmask .
#   docker run --rm --publish 8500:8500 boxmask
#   docker run --rm --publish 8500:8500 --volume "$PWD/bundle:/bundle:ro" boxmask /bundle --workers 8
#
# For NVIDIA GPUs, with CUDA and cuDNN as wheels on the same slim base:
#
#   docker build --tag boxmask:cuda --build-arg EXTRAS=server,cuda .
#   docker run --rm --gpus all --publish 8500:8500 boxmask:cuda --device cuda

FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=server
RUN python -m venv /opt/boxmask
WORKDIR /source
COPY . .
RUN /opt/boxmask/bin/pip install --no-cache-dir --only-binary :all: --constraint constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/boxmask /opt/boxmask
ENV PATH=/opt/boxmask/bin:$PATH
RUN useradd --system --uid 10001 --no-create-home boxmask
USER 10001
EXPOSE 8500
# It follows the address below: who listens elsewhere, or with TLS, gives a check of their own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "boxmask_server.healthcheck", "127.0.0.1:8500"]
# In the entry point, so that arguments add to it; a --listen among them comes later and wins.
ENTRYPOINT ["boxmask", "serve", "--listen", "0.0.0.0:8500"]
