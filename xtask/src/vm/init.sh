#!/bin/busybox sh
# The first process of the machine: file systems, modules, checks, power off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# A root of its own: the initial ramfs cannot be pivoted away from, nor carry an upper layer.
for folder in run tmp var; do mount -t tmpfs tmpfs /$folder; done
while read -r module; do insmod /modules/"$module" || echo "no module $module"; done < /modules/order
ip link set lo up
sh /checks.sh
poweroff -f
