# What an ordinary user does, who has logged in or not. Prints lines.
cd || exit
export XDG_RUNTIME_DIR=/run/user/1000 PATH=$PATH:/usr/sbin
podman() { command podman --runtime /usr/local/bin/gantry-runtime --cgroup-manager systemd "$@"; }
delegated() { systemd-run --user --scope --quiet --property Delegate=yes "$@"; }
command podman import --quiet busybox.tar busybox:latest > /dev/null 2>&1
gantry import --change 'CMD ["sh"]' busybox.tar busybox:latest > /dev/null
file() { echo "$(cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")/$2")"; }

podman run -d --name r --network none --memory 64m --pids-limit 33 busybox sleep 1000 > /dev/null
pid=$(podman inspect -f '{{.State.Pid}}' r)
echo "podman: $(file "$pid" memory.max) $(file "$pid" pids.max) $(grep -c 'user@1000.service/user.slice/libpod-.*scope' "/proc/$pid/cgroup")"
podman rm -f -t 0 r > /dev/null
echo "left: $(systemctl --user list-units --all 'libpod*' --no-legend | wc -l)"

gantry run --rm --network none -m 32m busybox true 2> /dev/null
echo "not delegated: $?"
echo "delegated: $(delegated gantry run --rm --network none -m 32m --cpus 0.5 --pids-limit 9 busybox \
    sh -c 'cd /sys/fs/cgroup; echo $(cat memory.max cpu.max pids.max)')"
delegated gantry run --name big --network none -m 16m --memory-swap 16m busybox tail /dev/zero
echo "out of memory: $? $(gantry inspect -f '{{.State.OOMKilled}}' big)"
delegated gantry run -d --name slow --network none --cpus 0.2 busybox sleep 1000 > /dev/null
delegated gantry update --cpus 0.4 -m 40m slow > /dev/null
echo "updated: $(delegated gantry exec slow sh -c 'cd /sys/fs/cgroup; echo $(cat cpu.max memory.max)')"
gantry pause slow > /dev/null && gantry unpause slow > /dev/null
echo "paused: $?"
gantry rm -f slow big > /dev/null
gantry rmi -f busybox > /dev/null
