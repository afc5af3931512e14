ARG REGISTRY=docker.io
ARG IMAGE=${REGISTRY}/library/alpine TAG=3.20
FROM ${IMAGE}:${TAG:-latest}
ARG VERSION=v1.2.3
ENV NUMBER=${VERSION#v} MAJOR=${VERSION%%.*} DASHED=${VERSION//./-}
ENV FALLBACK=${UNSET:-default} IFSET=${VERSION:+yes} \
    NESTED=${A:-${B:-${C:-deep}}} LITERAL=\$VERSION QUOTED='$VERSION'
ADD https://example.com/app-${VERSION}.tar.gz /tmp/
WORKDIR /srv/${NUMBER}
EXPOSE ${PORT:-8080} ${PORTS}
STOPSIGNAL ${SIGNAL:-SIGTERM}
RUN echo ${VERSION} $(date) $((1 + 2))
