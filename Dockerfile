# The three programs. No secret is in the image: they come as files at run time.
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

FROM debian:bookworm-slim
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
