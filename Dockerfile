# The server alone, without the simulators, as an unprivileged user:
#   docker build -t trunkline .
#   docker run -p 8000:8000 --env-file .env trunkline
# It needs a database (DATABASE_URL): the private Postgres is for machines that have its programs. deploy/compose.yaml has one.

FROM rust:1.95-slim-bookworm AS build
# A C compiler, for the allocator and for TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    SQLX_OFFLINE=true cargo build --release --locked --no-default-features --bin trunkline \
    && strip --strip-debug -o /usr/local/bin/trunkline target/release/trunkline

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/trunkline trunkline
COPY --from=build /usr/local/bin/trunkline /usr/local/bin/trunkline
USER trunkline
WORKDIR /var/lib/trunkline
ENV BIND=0.0.0.0:8000 TRUNKLINE_DATA=/var/lib/trunkline
VOLUME /var/lib/trunkline
EXPOSE 8000
# Whether it runs, not whether it takes calls: one that drains must not be killed for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["trunkline", "health"]
# SIGTERM drains: no new calls, and those that are on have DRAIN_SECONDS to end. Give `docker stop` as long.
STOPSIGNAL SIGTERM
ENTRYPOINT ["trunkline"]
CMD ["serve"]
