# Stopgap's images; the last is that of its three programs. No secret is in any: they come
# as files at run time.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY scripts/install-deps scripts/install-deps
RUN scripts/install-deps build
COPY Makefile VERSION ./
COPY scripts/embed-lua scripts/embed-lua
COPY common common
COPY worker worker
COPY webhook webhook
COPY ctl ctl
RUN make -j"$(nproc)" all && strip build/stopgap-worker build/stopgap-webhook build/stopgapctl

# Redis with a user for each program (docker-compose.yml).
FROM debian:bookworm-slim AS redis
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/redis/users.acl /etc/stopgap/users.acl
COPY deploy/redis/container /usr/local/bin/stopgap-redis
RUN install -d -o 10001 -g 10001 -m 700 /data
USER 10001:10001
CMD ["stopgap-redis", "start"]

# A mail catcher and a GitLab stand-in, for the profile `demo`.
FROM debian:bookworm-slim AS demo
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-aiohttp \
    && rm -rf /var/lib/apt/lists/*
COPY tests/integration/testenv /opt/demo/testenv
COPY tests/demo/neighbour.py /opt/demo/neighbour.py
ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/demo
USER 10001:10001
ENTRYPOINT ["python3", "neighbour.py"]

FROM debian:bookworm-slim AS stopgap
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libcurl4 libhiredis0.14 \
        libidn2-0 libjansson4 libsodium23 libssl3 libuv1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/stopgap-worker /src/build/stopgap-webhook \
    /src/build/stopgapctl /usr/local/bin/
# The receiver's spool: a volume goes here, and takes its owner over.
RUN install -d -o 10001 -g 10001 -m 700 /var/lib/stopgap/spool
# Secrets are looked for here, one file each, under the setting's name in lower case.
ENV CREDENTIALS_DIRECTORY=/run/secrets
USER 10001:10001
# TERM lets the jobs in flight reach their next checkpoint.
STOPSIGNAL SIGTERM
CMD ["stopgap-worker"]
