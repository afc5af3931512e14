FROM gcc:13 AS dev
RUN apt-get update && apt-get install -y cmake ninja-build
FROM dev AS build
COPY CMakeLists.txt vcpkg.json /src/
COPY src /src/src
RUN cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build /build && ctest --test-dir /build
FROM gcr.io/distroless/cc-debian12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
COPY --from=build /build/app /
ENTRYPOINT ["/app"]
