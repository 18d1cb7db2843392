# shellcheck shell=sh
# Runs inside the installed tree: tiny's appliance, the agent with what it is linked to, and the loop.
sh -eu /tmp/guest/tiny.sh
root=/appliance
kernel=$(basename /lib/modules/*)

mkdir -p "$root/usr/sbin"
cp -a /usr/sbin/qemu-ga "$root/usr/sbin/"
ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
modprobe -S "$kernel" -D --show-depends virtio_console | sed -n 's/^insmod \([^ ]*\).*/\1/p' |
  while read -r module; do
    mkdir -p "$root$(dirname "$module")"
    cp -a "$module" "$root$module"
  done
depmod -b "$root" "$kernel"

for script in serve append; do
  cp "/tmp/guest/$script.sh" "$root/bin/$script"
  chmod 755 "$root/bin/$script"
  echo "::respawn:/bin/$script" >>"$root/etc/inittab"
done
