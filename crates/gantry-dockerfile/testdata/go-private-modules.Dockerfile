FROM golang:1.21
ENV GOPRIVATE=git.example.com/*
RUN mkdir -p -m 0700 ~/.ssh && ssh-keyscan git.example.com >> ~/.ssh/known_hosts
RUN --mount=type=ssh,id=default,required=true \
    --mount=type=secret,id=netrc,target=/root/.netrc,mode=0400 \
    --mount=type=secret,id=gh,env=GITHUB_TOKEN \
    go mod download
