ARG CUDA=12.4.1
FROM nvidia/cuda:${CUDA}-cudnn-runtime-ubuntu22.04
LABEL org.opencontainers.image.source="https://example.com/ml" \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.description="training \
image"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-}
RUN --mount=type=cache,target=/var/cache/apt --mount=type=cache,target=/var/lib/apt \
    apt-get update -qq && apt-get install -qqy python3-pip
RUN --device=nvidia.com/gpu=all python3 -c "import torch; print(torch.cuda.is_available())"
WORKDIR /workspace
CMD python3 train.py --epochs ${EPOCHS:-10}
