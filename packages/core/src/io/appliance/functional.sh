#!/bin/bash
# shellcheck disable=SC2317 # some functions are called by scripts that this one sources
# Room: io, appliance. Runs inside the appliance: turns a clone of a similar image into a functional copy of a guest, as
# SMART-MIGRATE of the 2015 report does: swInstall with the guest's own package manager, then smartSync with rsync.
#
# I1  The source is mounted for reading, on a throw-away overlay of a read-only disk.
# I2  Maintainer scripts run in the clone's own tree, without a network, without services, and with no device but
#     null, zero, full, random, urandom and tty.
# I3  The exit code says which step failed; nothing after it is done.
# I4  Boot loader and fstab stay the destination's own: neither run touches /boot or /etc/fstab.
# I5  What the package manager says at its end is compared with what was wanted.
#
#   functional.sh OUT JOB TARGET SOURCE...
#
# JOB is the folder with: format (deb, rpm), start (clone; bios, uefi: from scratch, for that firmware), install (file
# names of packages), remove (names, as the package manager takes them), expected (what must be there then: name,
# version, architecture), first, second (lists of paths that the two runs leave out), databases (a line for each that
# comes by dump and restore: its engine, a tab, its folder), package-seconds (what one run of a package manager may
# take). TARGET and SOURCE are labels of disks. Packages lie on
# the disk `packages`.
# OUT gets: seconds (a line for each step), rsync-1, rsync-2 (their statistics), databases (those that were restored),
# failure (words for the operator).
set -u
export LC_ALL=C
out=$1
job=$2
target_label=$3
shift 3
source=/source
target=/sysroot
# shellcheck source-path=SCRIPTDIR source=mount-guest.sh
source "$(dirname "$0")/mount-guest.sh"
# shellcheck source-path=SCRIPTDIR source=functional-deb.sh
source "$(dirname "$0")/functional-deb.sh"
# shellcheck source-path=SCRIPTDIR source=functional-rpm.sh
source "$(dirname "$0")/functional-rpm.sh"
# shellcheck source-path=SCRIPTDIR source=functional-scratch.sh
source "$(dirname "$0")/functional-scratch.sh"
# shellcheck source-path=SCRIPTDIR source=databases.sh
source "$(dirname "$0")/databases.sh"

EXIT_SOURCE=10
EXIT_TARGET=11
EXIT_ROOM=12
EXIT_PACKAGES=13
EXIT_FILES=14
# shellcheck disable=SC2034 # of databases.sh
EXIT_DATABASES=15
package_seconds=$(<"$job/package-seconds")
FILES_SECONDS=7200
format=$(<"$job/format")
start=$(<"$job/start")
packages=/var/tmp/packages
have_packages=0

problems=''
remark() { problems+="${problems:+; }$*"; }

fail() {
  printf '%s' "$2${problems:+ ($problems)}" | head -c 2000 >"$out/failure"
  sync
  exit "$1"
}

step() {
  printf '%s %s\n' "$1" "$((SECONDS - step_started))" | tee -a "$out/seconds"
  step_started=$SECONDS
}
step_started=$SECONDS

# Lets the clone's last partition and its file system fill a disk that is larger than the candidate's.
grow_target() {
  local disk last device
  disk=$(readlink -f -- "/dev/disk/guestfs/$target_label")
  if [[ $root_device != "$disk" ]]; then
    last=$(lsblk -nrpo NAME,TYPE -- "$disk" | sed -n 's/ part$//p' | tail -n 1)
    [[ $root_device == "$last" ]] || return 0
    sfdisk -q --relocate gpt-bak-std "$disk" >/dev/null 2>&1 || true
    echo ', +' | sfdisk -q --no-reread -N "${last##*[!0-9]}" "$disk" || return 0
    blockdev --rereadpt "$disk" 2>/dev/null || partx -u "$disk" || true
    udevadm settle
  fi
  device=$root_device
  case $root_type in
    ext2 | ext3 | ext4)
      e2fsck -fp "$device" >/dev/null || true
      resize2fs "$device"
      ;;
  esac
}

grow_mounted() {
  case $root_type in
    xfs) xfs_growfs "$target" ;;
    btrfs) btrfs filesystem resize max "$target" ;;
  esac
}

open_clone() {
  use_disks "$target_label"
  find_root || fail "$EXIT_TARGET" 'no system of the candidate could be mounted'
  grow_target
  mount_guest "$target" rw || fail "$EXIT_TARGET" 'the clone of the candidate could not be mounted'
  grow_mounted
  step mount
}

# What programs of the guest need: no more. The guest's own /run, /dev, /proc and /sys are empty on a disk.
enter_tree() {
  mount -t proc -o nosuid,nodev,noexec proc "$target/proc" &&
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$target/sys" &&
    mount -t tmpfs -o nosuid,mode=755 tmpfs "$target/dev" &&
    mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$target/run" || return
  mknod -m 666 "$target/dev/null" c 1 3
  mknod -m 666 "$target/dev/zero" c 1 5
  mknod -m 666 "$target/dev/full" c 1 7
  mknod -m 666 "$target/dev/random" c 1 8
  mknod -m 666 "$target/dev/urandom" c 1 9
  mknod -m 666 "$target/dev/tty" c 5 0
  mkdir "$target/dev/pts" "$target/dev/shm" "$target/run/lock"
  ln -s /proc/self/fd "$target/dev/fd"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$target/dev/pts"
  ln -s pts/ptmx "$target/dev/ptmx"
}

leave_tree() {
  umount -- "$target/dev/pts" "$target/dev" "$target/run/vmdn" "$target/run" "$target/sys" "$target/proc" 2>/dev/null
}

# Runs a program that starts programs of packages.
confined() {
  local quick=()
  if [[ $(uname -m) == x86_64 ]] && command -v perl >/dev/null; then quick=(perl "$(dirname "$0")/without-sync.pl"); fi
  timeout --kill-after=30 "$package_seconds" unshare --pid --fork --ipc --uts --net "${quick[@]}" "$@" </dev/null
}

in_tree() {
  confined chroot "$target" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root \
    DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true APT_LISTCHANGES_FRONTEND=none "$@"
}

# Fails where a package manager did not end well: its status, and a pattern for its words on it.
require_installed() {
  local ended=$1 pattern=$2
  if ((ended == 124 || ended == 137)); then
    fail "$EXIT_PACKAGES" "the package manager did not come to an end within $package_seconds s;\
 where the edge has no KVM, programs take more than ten times as long"
  fi
  ((ended == 0)) || fail "$EXIT_PACKAGES" "$(tail -n 40 "$out/log" | grep -E "$pattern" | tail -n 4 | tr '\n' ' ')"
}

mount_packages() {
  [[ -s $job/install || -s $job/remove ]] || return 0
  have_packages=1
  mkdir -p "$packages"
  # The disk below is a throw-away overlay, so an index can be written beside them.
  [[ ! -s $job/install ]] || mount -t ext4 -o nosuid,nodev,noexec /dev/disk/guestfs/packages "$packages" ||
    fail "$EXIT_PACKAGES" 'the disk with the packages could not be mounted'
}

# The distribution's own package manager, with packages that the host fetched and verified. Afterwards all that are
# expected must be there, whatever a package database said before.
install_packages() {
  local missing
  if ((have_packages)); then
    mkdir -p "$target/run/vmdn"
    mount --bind "$packages" "$target/run/vmdn"
    "install_$format"
    umount -- "$target/run/vmdn"
  fi
  "list_$format" | sort -u >/var/tmp/installed
  missing=$(comm -23 <(sort -u "$job/expected") /var/tmp/installed | head -n 5 | cut -f1,2 | tr '\t' ' ' | paste -sd,)
  [[ -z $missing ]] || fail "$EXIT_PACKAGES" "these were installed and are not there: $missing"
}

# One of the two runs: a number, the list of what it leaves out, rsync's options.
sync_files() {
  local number=$1 list=$2 status
  shift 2
  timeout --kill-after=30 "$FILES_SECONDS" rsync -aAX --numeric-ids --stats "$@" \
    --exclude-from="$job/$list" -- "$source/" "$target/" >"$out/rsync-$number" 2>"$out/rsync-errors"
  status=$?
  ((status == 0)) && return
  if grep -q 'No space left on device' "$out/rsync-errors"; then
    fail "$EXIT_ROOM" 'the disk of the candidate is too small for the files of the source'
  fi
  fail "$EXIT_FILES" "$(grep -v '^$' "$out/rsync-errors" | tail -n 3 | tr '\n' ' ')"
}

use_disks "$@"
if ! find_root || ! mount_guest "$source" ro; then
  fail "$EXIT_SOURCE" 'no system of the source could be mounted'
fi
[[ -z $problems ]] || fail "$EXIT_SOURCE" 'not all of the source could be mounted'
mount_packages
if [[ $start == clone ]]; then
  open_clone
else
  make_disk
fi
enter_tree || fail "$EXIT_TARGET" 'the clone of the candidate lacks the folders of a system'
install_packages
leave_tree
[[ $start == clone ]] || make_bootable
step packages
sync_files 1 first --delete
sync_files 2 second --ignore-existing
step files
copy_databases
step databases
sync
umount -R "$target" || fail "$EXIT_FILES" 'the clone could not be unmounted'
exit 0
