FROM ubuntu:24.04
ENV container docker
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y systemd systemd-sysv \
    && find /etc/systemd/system /lib/systemd/system \
       -path '*.wants/*' -not -name '*journald*' -exec rm \{} \;
STOPSIGNAL SIGRTMIN+3
VOLUME [ "/sys/fs/cgroup", "/tmp", "/run" ]
CMD ["/sbin/init"]
