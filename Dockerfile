# The server of a bundle on processors, without torch:
#   docker build -t mmcascade .
#   docker run --rm -p 8000:8000 -v "$PWD/work_dirs/bundle:/bundle:ro" mmcascade
# The same with Ray, for docs/en/examples/kuberay_serve.yaml:
#   docker build --build-arg EXTRAS=serve,ray -t mmcascade-ray .
# The notebooks in JupyterLab, and the demo, in the locked environment for processors:
#   docker build --target demo -t mmcascade-demo .
#   docker run --rm -p 8888:8888 mmcascade-demo
#   docker run --name demo mmcascade-demo make CPU=1 demo && docker cp demo:/src/work_dirs/quickstart/report.html .
ARG EXTRAS=serve

FROM python:3.11-slim AS demo
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader && install -d -o reader /src
USER reader
WORKDIR /src
COPY --chown=reader . .
RUN make CPU=1 .venv/.ready \
    && PIP_CONSTRAINT=requirements/lock-cpu.txt .venv/bin/pip install --no-cache-dir jupyterlab
EXPOSE 8888
ENV OMP_NUM_THREADS=1
CMD [".venv/bin/jupyter", "lab", "--ip", "0.0.0.0", "--no-browser", "docs/en/notebooks"]

FROM python:3.11-slim AS build
ARG EXTRAS
COPY . /src
RUN python -m venv /opt/mmcascade \
    && PIP_CONSTRAINT=/src/requirements/lock.txt /opt/mmcascade/bin/pip install --no-cache-dir "/src[$EXTRAS]"

FROM python:3.11-slim
COPY --from=build /opt/mmcascade /opt/mmcascade
ARG EXTRAS
# KubeRay asks by wget how its pods are.
RUN case "$EXTRAS" in *ray*) apt-get update && apt-get install -y --no-install-recommends wget \
        && rm -rf /var/lib/apt/lists/* ;; esac \
    && useradd --system --no-create-home server
USER server
EXPOSE 8000
# KubeRay runs `ray` itself in place of the entry point, and finds it by PATH.
ENV OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 PATH=/opt/mmcascade/bin:$PATH
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["/opt/mmcascade/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
# In a container the outside is reached through its own port only.
ENTRYPOINT ["/opt/mmcascade/bin/mmcascade", "serve", "--host", "0.0.0.0"]
CMD ["/bundle"]
