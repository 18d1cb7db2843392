#!/usr/bin/env bash
# Room: io, hypervisor (tests). A libvirt of one test's own, for root: libvirtd knows no other places for its
# configuration and state than the system's, so it gets them in a mount namespace.
#
# I1  Nothing of the machine's own libvirt is read or written; the socket and all state lie in DIR.
# I2  It becomes libvirtd: whoever started it ends it by its pid, and virtlogd by DIR/virtlogd.pid.
set -euo pipefail
dir=$1
for place in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt run/libvirt; do
  mkdir -p -- "/$place" "$dir/$place"
  mount --bind -- "$dir/$place" "/$place"
done
# The user that libvirt wants to exist (package libvirt-daemon-system makes it).
for file in passwd group; do cp -- "/etc/$file" "$dir/etc/$file"; done
grep -q '^libvirt-qemu:' "$dir/etc/passwd" ||
  echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>"$dir/etc/passwd"
grep -q '^libvirt-qemu:' "$dir/etc/group" || echo 'libvirt-qemu:x:64055:' >>"$dir/etc/group"
for file in passwd group; do mount --bind -- "$dir/etc/$file" "/etc/$file"; done
# Where /dev/kvm is there and does not work, libvirt would try it again and again: each time for seconds.
if [[ -e /dev/kvm ]]; then
  : >"$dir/no-kvm"
  chmod 0600 "$dir/no-kvm"
  mount --bind -- "$dir/no-kvm" /dev/kvm
  # libvirt can't move such a mount into a guest's own /dev.
  echo 'namespaces = []' >/etc/libvirt/qemu.conf
fi
printf 'unix_sock_dir = "%s"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n' "$dir" >"$dir/libvirtd.conf"
# It outlives libvirtd, as the system's does: guests' consoles go through it.
[[ -S $dir/run/libvirt/virtlogd-sock ]] || virtlogd --pid-file "$dir/virtlogd.pid" &
exec libvirtd --config "$dir/libvirtd.conf" --pid-file "$dir/libvirtd.pid"
