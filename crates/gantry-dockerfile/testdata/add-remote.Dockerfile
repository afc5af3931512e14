FROM alpine
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://mirrors.edge.kernel.org/pub/linux/kernel/Historic/linux-0.01.tar.gz /
ADD --keep-git-dir=true https://github.com/moby/buildkit.git#v0.10.1 /buildkit
ADD git@github.com:moby/buildkit.git /bk
ADD --unpack=true https://example.com/rootfs.tar.xz /
ADD --unpack=false --chown=10:11 --chmod=g=u,o-rwx local.tar.gz /tmp/
ADD --link --exclude=*.md --exclude=!README.md . /src/
