FROM python:3.12 AS base
COPY . /app
WORKDIR /app

# lint runs the linters
FROM base AS lint
RUN ruff check .

# test runs the unit tests
FROM base AS test
RUN --network=none pytest -q \
    --cov=app \
    --junitxml=/out/report.xml; echo $? > /out/exit

FROM scratch AS test-export
COPY --from=test /out/ /

FROM base AS prod
CMD ["python", "-m", "app"]
