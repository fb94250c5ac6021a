# The server with the bundle that boxmask ships.
#
#   docker build --tag boxmask .
#   docker run --rm --publish 8500:8500 boxmask
#   docker run --rm --publish 8500:8500 --volume "$PWD/bundle:/bundle:ro" boxmask /bundle --workers 8
#
# For NVIDIA GPUs, with CUDA and cuDNN as wheels on the same slim base:
#
#   docker build --tag boxmask:cuda --build-arg EXTRAS=server,otel,cuda .
#   docker run --rm --gpus all --publish 8500:8500 boxmask:cuda --device cuda
#
# Settings come as flags, as BOXMASK_... in the environment, or in a file (--config); deploy/ shows all three at work.

FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=server,otel
RUN python -m venv /opt/boxmask
WORKDIR /source
COPY . .
RUN /opt/boxmask/bin/pip install --no-cache-dir --only-binary :all: --constraint constraints.txt ".[${EXTRAS}]"
# GrabCut and DenseCRF are compiled here, for this kind of processor; on another kind the server does it again when it
# starts, half a minute or so, and keeps the result if the folder can be written to.
RUN NUMBA_CACHE_DIR=/opt/boxmask/compiled /opt/boxmask/bin/python -m boxmask_core.warm_up

FROM python:3.11-slim-bookworm
COPY --from=build /opt/boxmask /opt/boxmask
ENV PATH=/opt/boxmask/bin:$PATH NUMBA_CACHE_DIR=/opt/boxmask/compiled
RUN useradd --system --uid 10001 --no-create-home boxmask && chown -R 10001 /opt/boxmask/compiled
USER 10001
EXPOSE 8500
# It follows the address below: who listens elsewhere, or with TLS (--ca FILE), gives a check of their own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "boxmask_server.healthcheck", "127.0.0.1:8500"]
# In the entry point, so that arguments add to it; a --listen among them comes later and wins.
ENTRYPOINT ["boxmask", "serve", "--listen", "0.0.0.0:8500"]
