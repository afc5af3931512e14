FROM alpine
RUN --mount=type=bind,target=/src,source=src,rw \
    --mount=type=bind,from=busybox,source=/bin,dst=/bb,readonly=false ls
RUN --mount=type=cache,id=apt,target=/var/cache/apt,sharing=locked,uid=100,gid=200,mode=0755 true
RUN --mount=type=cache,target=~/.cache,from=seed,source=/c,ro true
RUN --mount=type=tmpfs,target=/tmp,size=64m true
RUN --mount=type=secret,id=aws,target=/root/.aws/credentials,required,uid=1,mode=0444 true
RUN --mount=type=secret,source=key,env=KEY --mount=type=ssh --mount=type=ssh,id=deploy,target=/run/ssh.sock true
RUN --network=none --security=sandbox --device=nvidia.com/gpu=all,required ["/bin/true", "arg with space"]
RUN --network=host --security=insecure --mount="type=cache,target=/with space" true
