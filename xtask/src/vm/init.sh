#!/bin/busybox sh
# The first process of the machine: a root of its own, file systems, modules, checks, power off.
if [ -z "$SWITCHED" ]; then
    # A container pivots into its root, which the initial ramfs does not allow: move out of it.
    /bin/busybox mkdir /root.new
    /bin/busybox mount -t tmpfs root /root.new
    for name in bin busybox.tar checks.sh dev etc init modules proc root run sys tmp var; do
        /bin/busybox cp -a /$name /root.new/
    done
    SWITCHED=yes exec /bin/busybox switch_root /root.new /init
fi
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for folder in run tmp var; do mount -t tmpfs tmpfs /$folder; done
while read -r module; do insmod /modules/"$module" || echo "no module $module"; done < /modules/order
ip link set lo up
sh /checks.sh
poweroff -f
