# syntax=docker/dockerfile:1
ARG GO_VERSION="1.22"
ARG XX_VERSION="1.4.0"
FROM --platform=$BUILDPLATFORM tonistiigi/xx:${XX_VERSION} AS xx
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine AS base
COPY --from=xx / /
ENV CGO_ENABLED=0
RUN apk add --no-cache file git
WORKDIR /src

FROM base AS version
RUN --mount=target=. <<EOT
  git rev-parse HEAD || echo unknown
  set -e
  echo "-X main.version=$(git describe --match 'v[0-9]*' --dirty='.m' --always --tags)" | tee /tmp/.ldflags
  echo -n "${VERSION}" | tee /tmp/.version
EOT

FROM base AS build
ARG TARGETPLATFORM
RUN --mount=type=bind,target=. \
  --mount=type=cache,target=/root/.cache \
  --mount=from=version,source=/tmp/.ldflags,target=/tmp/.ldflags <<EOT
  set -ex
  xx-go build -ldflags "$(cat /tmp/.ldflags)" -o /usr/bin/tool .
  xx-verify --static /usr/bin/tool
EOT

FROM scratch AS binary-unix
COPY --link --from=build /usr/bin/tool /tool
FROM binary-unix AS binary-linux
FROM scratch AS binary-windows
COPY --link --from=build /usr/bin/tool /tool.exe
FROM binary-${TARGETOS} AS binary
