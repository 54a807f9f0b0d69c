# The Customer Integration Service: one image, one process.
#
#   docker compose up --build                                      the daemon, as docker-compose.yml describes it
#   docker build -t customer-integration . && docker run --rm customer-integration --help
#
# No feature of BuildKit is used, so that the classic builder (and with it the Docker SDK) builds it as well.

# To pin it by digest: --build-arg BASE=python:3.13-slim@sha256:… (docs/operating.md, "In a container").
ARG BASE=python:3.13-slim

FROM ${BASE} AS builder
COPY requirements/run.txt /build/requirements.txt
# Locked by hash, wheels only: what is installed is what was tested, and no foreign setup.py is run.
# pip itself stays outside the environment: the running image has no use for it, nor for numpy's own tests.
# Bytecode is unchecked: the root is read-only, so no source ever changes under it, whatever a copy does to times.
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: \
        --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore -r /build/requirements.txt \
 && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
 && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
COPY LICENSE requirements/sbom.cdx.json /app/
COPY service /app/service
# Any user must be able to read the files, under whatever umask they were cloned, and no user to write them.
RUN chmod -R u=rwX,go=rX /app \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Customer Integration Service" \
      org.opencontainers.image.description="Drop a CRM export and a shop export into a folder, collect one customer master." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# New volumes take owner and mode from here; folders of root on the host are given to 1000, too.
RUN install -d -o 1000 -g 1000 /data/inbox /data/outbox /data/state

# IS_CUSTOMER_INTEGRATION_IMAGE: the program gives up root before it does anything else (service/container.py).
# PYTHONSAFEPATH: it begins as root, and must not import what lies in the working folder.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    IS_CUSTOMER_INTEGRATION_IMAGE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    SERVICE_INBOX=/data/inbox \
    SERVICE_OUTBOX=/data/outbox \
    SERVICE_STATE=/data/state
# Where service.toml is looked for, and where relative names begin.
WORKDIR /data

STOPSIGNAL SIGTERM
# The entry point, as for every verb: this process, too, is root for a few milliseconds only.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "service", "healthcheck"]

# No USER: the program becomes the owner of the inbox, or PUID and PGID, and is never root again.
# `docker exec` begins as root, too, so `python -m service` is the only way in.
ENTRYPOINT ["python", "-m", "service"]
CMD ["watch"]
