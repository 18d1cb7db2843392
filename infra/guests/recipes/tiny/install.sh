# shellcheck shell=sh
# Runs inside the installed tree: copies out of it, into /appliance, what an appliance needs.
kernel=$(basename /lib/modules/*)
image=linux-image-$kernel
root=/appliance

for dir in bin boot dev etc/acpi/PWRF etc/init.d lib proc root run sbin srv sys tmp usr/lib var/lib/dpkg var/log; do
  mkdir -p "$root/$dir"
done
chmod 1777 "$root/tmp"
ln -s usr/lib/os-release "$root/os-release"
cp -a /usr/lib/os-release "$root/usr/lib/"
ln -s ../usr/lib/os-release "$root/etc/os-release"
cp -a /etc/debian_version "$root/etc/"

# The boot files by their links, as Debian has them.
cp -a "/boot/vmlinuz-$kernel" "/boot/initrd.img-$kernel" "/boot/config-$kernel" "$root/boot/"
cp -a /vmlinuz /initrd.img "$root/"

cp -a /bin/busybox "$root/bin/busybox"
/bin/busybox --list | while read -r applet; do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
ln -s ../bin/busybox "$root/sbin/init"
for applet in modprobe insmod udhcpc; do ln -s ../bin/busybox "$root/sbin/$applet"; done

# Modules: network, power button, and what they depend on.
modules="$root/lib/modules/$kernel"
mkdir -p "$modules"
cp -a "/lib/modules/$kernel/modules.builtin" "/lib/modules/$kernel/modules.order" "$modules/"
modprobe -S "$kernel" -D --show-depends -a virtio_net button evdev | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u |
  while read -r module; do
    mkdir -p "$root$(dirname "$module")"
    cp -a "$module" "$root$module"
  done
depmod -b "$root" "$kernel"

cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/etc/init.d/rcS
::respawn:/bin/udhcpc -f -i eth0 -s /etc/udhcpc.sh
::respawn:/bin/httpd -f -p 80 -h /srv/www
::respawn:/bin/acpid -d
::shutdown:/bin/umount -a -r
INITTAB
cat >"$root/etc/init.d/rcS" <<'RCS'
#!/bin/sh
mount -o remount,rw /
[ -d /proc/1 ] || mount -t proc proc /proc
[ -d /sys/class ] || mount -t sysfs sysfs /sys
hostname -F /etc/hostname
for module in virtio_net button evdev; do modprobe "$module"; done
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
date >>/var/log/boots
RCS
cat >"$root/etc/udhcpc.sh" <<'UDHCPC'
#!/bin/sh
case $1 in
  deconfig) ifconfig "$interface" 0.0.0.0 ;;
  bound | renew)
    ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
    [ -z "$router" ] || route add default gw "${router%% *}" dev "$interface"
    ;;
esac
UDHCPC
printf '#!/bin/sh\npoweroff\n' >"$root/etc/acpi/PWRF/00000080"
chmod 755 "$root/etc/init.d/rcS" "$root/etc/udhcpc.sh" "$root/etc/acpi/PWRF/00000080"
printf 'root:!*:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"

# The packages whose files these are, as dpkg knows them.
for package in base-files busybox-static "$image"; do
  dpkg-query -s "$package"
  echo
done >"$root/var/lib/dpkg/status"
