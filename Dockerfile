# The server without the embedded PostgreSQL: set WAYMARK_DATABASE_URL and WAYMARK_SECRET_KEY.
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/waymark && /opt/waymark/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY hatch_build.py .
COPY app app
RUN /opt/waymark/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --home-dir /var/lib/waymark --create-home waymark \
 && install --directory --owner=waymark --group=waymark /var/lib/waymark/files
COPY --from=build /opt/waymark /opt/waymark
ENV PATH=/opt/waymark/bin:$PATH WAYMARK_DATA_DIR=/var/lib/waymark WAYMARK_HOST=0.0.0.0 WAYMARK_LOG_FORMAT=json
USER waymark
VOLUME /var/lib/waymark
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
CMD ["waymark", "serve"]
