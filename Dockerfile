# docker build --target test .                                   runs the tests
# docker build -t elasticpypi .                                  makes the image that serves
# docker run -p 8080:8080 -v elasticpypi:/data elasticpypi       serves the packages in the volume

FROM python:3.13.14-slim-trixie AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --create-home elasticpypi

FROM base AS test
# Not as root, for whom no file is unreadable.
USER elasticpypi
WORKDIR /home/elasticpypi/project
COPY --chown=elasticpypi . .
RUN python -m venv /home/elasticpypi/venv \
    && /home/elasticpypi/venv/bin/pip install -r test-requirements.txt \
    && /home/elasticpypi/venv/bin/python -m pytest

FROM base AS build
WORKDIR /project
COPY pyproject.toml README.md LICENSE requirements.txt ./
COPY elasticpypi elasticpypi
RUN python -m venv /opt/elasticpypi \
    && /opt/elasticpypi/bin/pip install --constraint requirements.txt ".[aws]"

FROM base AS serve
COPY --from=build /opt/elasticpypi /opt/elasticpypi
ENV PATH=/opt/elasticpypi/bin:$PATH
RUN install --directory --owner=elasticpypi /data
USER elasticpypi
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import os, ssl, urllib.request as r; e = os.environ.get; r.urlopen(f'http{\"s\" if e(\"TLS_CERT\") else \"\"}://127.0.0.1:{e(\"PORT\", 8080)}/health', timeout=4, context=ssl._create_unverified_context())"]
ENTRYPOINT ["elasticpypi"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data"]
