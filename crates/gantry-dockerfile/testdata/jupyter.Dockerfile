FROM jupyter/base-notebook:latest
LABEL maintainer="Data <data@example.com>"
USER root
# ffmpeg for matplotlib anim
RUN apt-get update --yes && \
    apt-get install --yes --no-install-recommends ffmpeg dvipng cm-super && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
USER ${NB_UID}
RUN mamba install --yes \
    'altair' \
    'pandas' \
    'scikit-learn' && \
    mamba clean --all -f -y && \
    fix-permissions "${CONDA_DIR}" && \
    fix-permissions "/home/${NB_USER}"
WORKDIR "${HOME}"
