#!/bin/bash
# Room: io, appliance. Runs inside the appliance: mounts a guest for reading and copies the small files that tell what
# it is.
#
# I1  Bounded: files and their sizes.
# I2  What could not be read is a line in `remarks`; the script itself does not fail because of a guest.
#
#   inspect.sh OUT WANTED LABEL...
#
# WANTED has a line for each place to look at: depth, name (* for any), path, with tabs between. LABEL names a disk.
# OUT gets: index (type, size, path and link target of what is there), root/ (contents), rpm, remarks.
set -u
export LC_ALL=C
out=$1
wanted=$2
shift 2
root=/sysroot
# shellcheck source-path=SCRIPTDIR source=mount-guest.sh
source "$(dirname "$0")/mount-guest.sh"

FILES_MAX=20000
SMALL_FILE_KIB=256
DPKG_STATUS_KIB=65536
RPM_DATABASE_KIB=1048576

remark() { printf '%.300s\n' "$*" >>"$out/remarks"; }

collect() {
  local depth name path parent limit
  cd "$root" || return
  while IFS=$'\t' read -r depth name path; do
    parent=$(realpath -e -- ".${path%/*}/" 2>/dev/null)
    [[ $parent/ == "$root"/* && (-e .$path || -L .$path) ]] || continue
    limit=$SMALL_FILE_KIB
    if [[ $path == /var/lib/dpkg/status ]]; then limit=$DPKG_STATUS_KIB; fi
    find -P ".$path" -maxdepth "$depth" \( ! -type f -o -name "$name" \) -printf '%y %s %p\0%l\0' |
      head -z -n $((2 * FILES_MAX)) >>"$out/index"
    find -P ".$path" -maxdepth "$depth" -type f -name "$name" -size "-$((limit + 1))k" -print0 |
      head -z -n "$FILES_MAX" | tar --null --no-recursion -T - -cf - | tar -xf - -C "$out/root"
  done <"$wanted"
}

# The packages in the guest's RPM database, by this appliance's rpm, from a copy.
list_rpm() {
  local folder real copy=/var/tmp/rpmdb
  for folder in var/lib/rpm usr/lib/sysimage/rpm; do
    real=$(realpath -e -- "$root/$folder" 2>/dev/null)
    [[ $real == "$root"/* && -d $real ]] || continue
    mkdir -p "$copy"
    find -P "$real" -maxdepth 1 -type f -size "-${RPM_DATABASE_KIB}k" \
      \( -name 'rpmdb.sqlite*' -o -name 'Packages*' -o -name Index.db \) -exec cp -t "$copy" -- {} +
    [[ -n $(ls "$copy") ]] || continue
    timeout 120 rpm --dbpath "$copy" --nosignature --nodigest -qa \
      --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\n' 2>"$out/rpm-errors" |
      head -c 16777216 >"$out/rpm"
    [[ -s $out/rpm ]] || remark "the RPM database could not be read: $(head -c 200 "$out/rpm-errors" | tr '\n' ' ')"
    return
  done
}

mkdir -p "$out/root"
: >"$out/remarks"
use_disks "$@"
if find_root && mount_guest "$root" ro; then
  collect
  list_rpm
else
  remark 'no file system that can be read holds an operating system'
fi
exit 0
