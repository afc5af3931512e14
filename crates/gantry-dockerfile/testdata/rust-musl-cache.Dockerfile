FROM rust:1.79-alpine AS build
RUN apk add musl-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=target-${TARGETARCH:-none} \
    cargo build --release \
 && cp target/release/server /server
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build --chmod=0555 /server /server
CMD ["/server"]
