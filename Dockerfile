# ctsearch: the page, the API and the worker. No model's weights are inside: mount them (docs/deploy.md).
#
#   docker build --tag ctsearch .
#   docker build --tag ctsearch --build-arg EXTRAS=gpu,web,openai,chat .   # for CUDA
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
# Empty: pip's own index, whose torch is CUDA's, 3 GB. PyTorch's index of CPU builds brings 0.2 GB (docs/deploy.md).
ARG TORCH_INDEX=
ARG EXTRAS=cpu,web,openai
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/ctsearch
WORKDIR /source
COPY constraints.txt ./
RUN /opt/ctsearch/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} torch
COPY . .
RUN /opt/ctsearch/bin/pip install --constraint constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 10001 ctsearch \
    && useradd --uid 10001 --gid ctsearch --home-dir /var/lib/ctsearch --no-create-home --shell /usr/sbin/nologin ctsearch \
    && install --directory --owner=ctsearch --group=ctsearch --mode=0700 /var/lib/ctsearch
COPY --from=build /opt/ctsearch /opt/ctsearch
ENV PATH=/opt/ctsearch/bin:$PATH CTSEARCH_HOME=/var/lib/ctsearch HOME=/var/lib/ctsearch PYTHONUNBUFFERED=1
USER ctsearch
WORKDIR /var/lib/ctsearch
VOLUME /var/lib/ctsearch
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/api/v1/health/live', timeout=4)"]
ENTRYPOINT ["ctsearch"]
CMD ["serve", "--host", "0.0.0.0"]
