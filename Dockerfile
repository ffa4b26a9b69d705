# haf for CPUs, with the XLA plug-in: docker build -t haf . && docker run --rm haf demo
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -o /haf ./cmd/haf

FROM debian:bookworm-slim
# python3 and pip fetch the plug-in, which is a Python package. The release of Debian fixes versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y ca-certificates libstdc++6 python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 haf
COPY --from=build /haf /usr/local/bin/haf
USER 1000
WORKDIR /home/haf
RUN haf setup
ENTRYPOINT ["haf"]
CMD ["-help"]
