# One image for every role: `gristmill ingest`, `gristmill worker`, and the command line for people. With it come ONNX
# Runtime, the manifests and the artifacts they name; the stores do not, they have images of their own.

FROM rust:1-bookworm AS build
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# first what seldom changes: fetching models is not repeated when only code did
COPY tools tools
COPY models models
RUN python3 tools/setup.py --into /fetched \
    && mkdir -p /out/share /out/lib \
    && cp --parents models/*/model.toml models/*/*/manifest.toml /out/share \
    && cp -r /fetched/artifacts /out/share/artifacts \
    && cp /fetched/lib/libonnxruntime.so /out/lib
COPY . .
RUN cargo build --release --locked -p gristmill-cli \
    && cp target/release/gristmill /out/gristmill \
    && strip /out/gristmill

FROM debian:bookworm-slim
# by number, so that an orchestrator can see that it is not root
RUN groupadd --gid 10001 gristmill \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/gristmill --create-home --shell /usr/sbin/nologin gristmill
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/lib /usr/local/lib/gristmill
COPY --from=build /out/share /usr/local/share/gristmill
COPY --from=build /out/gristmill /usr/local/bin/gristmill
ENV ORT_DISABLE_TELEMETRY=1 \
    GRISTMILL_ONNXRUNTIME=/usr/local/lib/gristmill/libonnxruntime.so \
    GRISTMILL_MODELS_DIR=/usr/local/share/gristmill/models \
    GRISTMILL_ARTIFACTS_DIR=/usr/local/share/gristmill/artifacts \
    GRISTMILL_JOB_ID_KEYS=/var/lib/gristmill/job-id-keys.json
USER 10001:10001
# an ingest keeps the keys here that sign job ids: mount a volume, for to lose them is to disown every id given out
WORKDIR /var/lib/gristmill
# SIGTERM drains
STOPSIGNAL SIGTERM
ENTRYPOINT ["gristmill"]
CMD ["--help"]
