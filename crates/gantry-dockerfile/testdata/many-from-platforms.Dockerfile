ARG BUILDPLATFORM=linux/amd64
FROM --platform=linux/amd64 alpine AS amd64
FROM --platform=${BUILDPLATFORM} alpine AS native
FROM --platform="linux/arm/v7" alpine AS arm
FROM --platform=$TARGETPLATFORM native
