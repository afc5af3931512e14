#!/bin/busybox sh
# The first process: the modules of the disks, the disk, and the first process on it.
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod /modules/"$module"; done < /modules/order
until [ -e /dev/vda ] && [ -e /dev/vdb ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root.new
exec /bin/busybox switch_root /root.new /sbin/init
