# What a container must do where there is nothing but cgroup v2.
echo "vm: $(uname -r), $(cat /sys/fs/cgroup/cgroup.controllers)"
gantry import --change 'CMD ["sh"]' /busybox.tar busybox:latest > /dev/null || echo "vm: import failed"

check "a container runs" hello gantry run --rm --network none busybox echo hello
check "on the bridge too" "eth0 lo" gantry run --rm busybox sh -c 'echo $(ls /sys/class/net)'
check "its exit code arrives" 7 code gantry run --rm --network none busybox sh -c 'exit 7'
check "it sees its own cgroup as the root" "0::/" gantry run --rm --network none busybox cat /proc/self/cgroup

gantry run -d --name limited --network none --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 20 busybox sleep 1000 > /dev/null
path=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(gantry inspect -f '{{.State.Pid}}' limited)/cgroup")
check "memory is limited" 67108864 cat "$path/memory.max"
check "swap is limited" 0 cat "$path/memory.swap.max"
check "processors are limited" "50000 100000" cat "$path/cpu.max"
check "processes are limited" 20 cat "$path/pids.max"
check "exec joins" "0::/" gantry exec limited cat /proc/self/cgroup
check "pause freezes" 1 sh -c "gantry pause limited > /dev/null; cat $path/cgroup.freeze"
check "unpause thaws" 0 sh -c "gantry unpause limited > /dev/null; cat $path/cgroup.freeze"
gantry rm -f limited > /dev/null
check "nothing is left of it" 1 code test -e "$path"

check "out of memory is seen" "137 true" sh -c '
    gantry run --name big --network none --memory 16m --memory-swap 16m busybox tail /dev/zero > /dev/null 2>&1
    echo "$? $(gantry inspect -f "{{.State.OOMKilled}}" big)"'
check "devices are refused" 1 code gantry run --rm --network none --cap-add MKNOD busybox sh -c 'mknod /m b 1 0 && cat /m'
check "and allowed when asked for" 0 code gantry run --rm --network none --device /dev/ttyS0 busybox sh -c ': >> /dev/ttyS0'

mkdir /tmp/ctx
printf 'FROM busybox\nRUN mkdir /data\nRUN echo built | tee /x > /data/x\nCMD ["cat", "/x"]\n' > /tmp/ctx/Dockerfile
gantry build -q -t built /tmp/ctx > /dev/null
check "an image is built and runs" built gantry run --rm built
check "and a new volume begins with what its layers have" built gantry run --rm -v new:/data built cat /data/x
check "and a port is published" page sh -c '
    gantry run -d --name web -p 127.0.0.1:8080:80 busybox sh -c "echo page > /index.html; exec httpd -f -p 80 -h /" > /dev/null
    for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://127.0.0.1:8080/ && break; sleep 1; done
    gantry rm -f web > /dev/null'

printf 'FROM busybox\nRUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max > /shown\n' > /tmp/ctx/Dockerfile
gantry build -q -t bounded --network none --memory 64m --memory-swap 64m --cpu-quota 50000 /tmp/ctx > /dev/null
check "the steps of a build are limited" "67108864 50000 100000" sh -c '
    echo $(gantry run --rm --network none bounded cat /shown)'
printf 'FROM busybox\nRUN tail /dev/zero\n' > /tmp/ctx/Dockerfile
check "and one that runs out of memory says so" said sh -c '
    gantry build --network none --memory 16m --memory-swap 16m /tmp/ctx 2>&1 |
        grep -q "out of memory: it needed more than --memory 16m" && echo said'

conclude
