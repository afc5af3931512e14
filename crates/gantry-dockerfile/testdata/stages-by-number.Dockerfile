FROM golang AS 	builder
RUN go build
FROM alpine
COPY --from=0 /x /x
FROM scratch AS Copy.Target_1-x
COPY --from=1 /x /x
COPY --from=builder /y /y
