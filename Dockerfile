# `dragflow serve` in a container, as a user without rights. On the CPU:
#   docker build -t dragflow .
# On NVIDIA GPUs:
#   docker build -t dragflow --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=cu128 .
# Then, with a token that requests must carry, and a volume that keeps downloads:
#   docker run -p 8765:8765 -e DRAGFLOW_TOKEN=... -v dragflow:/data [--gpus all] dragflow
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# Which build of torch: a folder of https://download.pytorch.org/whl, as cpu, cu128 or rocm6.4.
ARG TORCH=cpu
# Extras of dragflow: http for the server, studio for its page too, quant for quantised models.
ARG EXTRAS=http

RUN command -v python3 > /dev/null \
 || (apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*)
RUN python3 -m venv /opt/dragflow \
 && /opt/dragflow/bin/pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/${TORCH}

COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY src /source/src
# torch is there already, in the build that was asked for.
RUN grep -v '^torch==' /source/constraints.txt > /source/pinned.txt \
 && /opt/dragflow/bin/pip install --no-cache-dir -c /source/pinned.txt "/source[${EXTRAS}]" \
 && rm -rf /source \
 && useradd --create-home --uid 10001 dragflow \
 && install -d -o dragflow -g dragflow /data

USER dragflow
WORKDIR /data
VOLUME /data
ENV PATH=/opt/dragflow/bin:$PATH \
    HF_HOME=/data/hub \
    XDG_CACHE_HOME=/data/cache \
    XDG_CONFIG_HOME=/data/config \
    PYTHONUNBUFFERED=1
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["dragflow"]
CMD ["serve", "--host", "0.0.0.0"]
