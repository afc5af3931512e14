# What containers do where systemd has cgroup v2; then the same machine once more, booted again.
export HOME=/root PATH=$PATH:/usr/sbin:/sbin
dmesg --console-off 2> /dev/null
cd /root || exit
if [ -e /root/booted ]; then
    for _ in $(seq 60); do gantry ps -q | grep -q . && break; sleep 1; done
    check "what is to run always runs after a boot" "keeper" gantry ps --format '{{.Names}}'
    if [ -e /root/failed ]; then failures=1; fi
    conclude
    systemctl poweroff
    exit
fi
echo "vm: $(uname -r), $(systemctl --version | head -n 1)"
bash /tests.sh < /dev/null 2>&1 | sed -u 's/^/vm: /'
check "the tests hold" 0 echo "${PIPESTATUS[0]}"

podman import --quiet /root/.cache/gantry-test/busybox.tar busybox:latest > /dev/null 2>&1
gantry import --change 'CMD ["sh"]' /root/.cache/gantry-test/busybox.tar busybox:latest > /dev/null
podman() { command podman --runtime /usr/local/bin/gantry-runtime --cgroup-manager systemd "$@"; }

podman run -d --name limited --network none --memory 64m --memory-swap 64m --cpus 0.5 \
    --pids-limit 20 --cpuset-cpus 1 busybox sleep 1000 > /dev/null
id=$(podman inspect -f '{{.Id}}' limited)
cgroup=/sys/fs/cgroup/machine.slice/libpod-$id.scope
files() { (cd "$cgroup" && echo $(cat memory.max memory.swap.max cpu.max pids.max cpuset.cpus)); }
unit() { echo $(systemctl show --value --property "$1" "libpod-$id.scope"); }
check "podman's container is in a scope of systemd's" active unit ActiveState
check "its limits are the kernel's" "67108864 0 50000 100000 20 1" files
check "and the unit's" 67108864 unit MemoryMax
systemctl daemon-reload
check "they stay when systemd reads its files anew" "67108864 0 50000 100000 20 1" files
gantry-runtime update --memory 33554432 --memory-swap 67108864 --cpu-quota 20000 \
    --cpu-period 100000 --pids-limit 7 "$id"
systemctl daemon-reload
check "changed ones too" "33554432 33554432 20000 100000 7 1" files
check "exec joins" "0::/" podman exec limited cat /proc/self/cgroup
gantry-runtime pause "$id"
check "pause freezes" 1 cat "$cgroup/cgroup.freeze"
gantry-runtime resume "$id"
podman rm -f -t 0 limited > /dev/null
check "nothing is left of it" "0 1" sh -c \
    "systemctl list-units --all 'libpod-*.scope' --no-legend | wc -l | tr '\n' ' '; test -e $cgroup; echo \$?"
check "devices are refused" 1 code podman run --rm --network none --cap-add MKNOD busybox \
    sh -c 'mknod /m b 1 0 && cat /m'

mkdir -p /etc/docker
echo '{"runtimes": {"gantry": {"path": "/usr/local/bin/gantry-runtime"}}, "default-runtime": "gantry"}' \
    > /etc/docker/daemon.json
systemctl start docker
docker import /root/.cache/gantry-test/busybox.tar busybox > /dev/null
docker run -d --name limited --network none -m 64m busybox sleep 1000 > /dev/null
check "dockerd's container is in a scope too" 1 sh -c \
    'grep -c "^0::/system.slice/docker-.*scope" /proc/$(docker inspect -f "{{.State.Pid}}" limited)/cgroup'
docker update -m 48m --memory-swap 48m limited > /dev/null
systemctl daemon-reload
check "with its limits" 50331648 docker exec limited cat /sys/fs/cgroup/memory.max
docker rm -f limited > /dev/null
check "out of memory is seen" "137 true" sh -c '
    docker run --name big --network none -m 16m --memory-swap 16m busybox tail /dev/zero > /dev/null 2>&1
    echo "$? $(docker inspect -f "{{.State.OOMKilled}}" big)"; docker rm big > /dev/null'
systemctl stop docker.service docker.socket containerd.service

cp /root/.cache/gantry-test/busybox.tar /home/tester/
chown tester /home/tester/busybox.tar
wanted="podman: 67108864 33 1
left: 0
not delegated: 125
delegated: 33554432 50000 100000 9
out of memory: 137 true
updated: 40000 100000 41943040
paused: 0"
check "a user's containers are limited" "$wanted" runuser -u tester -- bash /user.sh
check "those of a login session too" "$wanted" systemd-run --quiet --pipe --wait \
    --property PAMName=login --property User=tester bash /user.sh

gantry run --name noted --log-driver journald --network none busybox echo to-the-journal > /dev/null
journalctl --sync
check "the journal has the log" to-the-journal journalctl --output cat --no-pager CONTAINER_NAME=noted
check "and it comes back" to-the-journal gantry logs noted
gantry rm noted > /dev/null

gantry run -d --name keeper --restart always --network none busybox sleep 100000 > /dev/null
gantry run -d --name plain --network none busybox sleep 100000 > /dev/null
check "the unit is installed" 0 code gantry system boot --install
[ "$failures" -eq 0 ] || touch /root/failed
touch /root/booted
systemctl reboot
