# syntax=docker/dockerfile:1
FROM alpine AS base
RUN echo a && \
    echo b

COPY <<EOF /file
line
EOF
ENV A=b C=d
CMD ["a", \
  "b"]
