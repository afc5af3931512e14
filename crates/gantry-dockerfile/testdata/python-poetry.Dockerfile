ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS base
ENV POETRY_VERSION=1.8.2 POETRY_HOME=/opt/poetry POETRY_VIRTUALENVS_IN_PROJECT=true
ENV PATH="${POETRY_HOME}/bin:/app/.venv/bin:${PATH}"
FROM base AS poetry
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update && apt-get install -y curl && curl -sSL https://install.python-poetry.org | python3 -
WORKDIR /app
COPY poetry.lock pyproject.toml /app/
RUN poetry install --no-root --only main
FROM base
COPY --from=poetry /app/.venv /app/.venv
COPY . /app
ENTRYPOINT ["python", "-m", "app"]
