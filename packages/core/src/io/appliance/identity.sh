#!/bin/bash
# Room: io, appliance. Runs inside the appliance: gives the guest on some disks an identity of its own, before its first
# start: machine-id, SSH host keys, host name, and nothing left of what its source kept by its old one.
#
# I1  Files are rewritten in place, never replaced: owners, rights and labels (SELinux) stay theirs.
# I2  Of the guest only its ssh-keygen runs, in its own tree: without a network, and with no device but null and random.
# I3  The exit code says which step failed; nothing after it is done, and nothing is half done: whoever called it
#     throws the disks away.
# I4  No path of the guest leads out of its tree: what is a link, or lies below one, is left alone or refused.
#
#   identity.sh OUT JOB DISK...
#
# JOB is the folder with: hostname (the new one), macs (a line for each card whose address is known: old, a blank, new).
# DISKs are labels. OUT gets: done (a line for each thing that was made anew or removed), failure (words for the
# operator).
set -u
export LC_ALL=C
out=$1
job=$2
shift 2
target=/sysroot
# shellcheck source-path=SCRIPTDIR source=mount-guest.sh
source "$(dirname "$0")/mount-guest.sh"

EXIT_SYSTEM=10
EXIT_KEYS=11
EXIT_WRITE=12
KEYS_SECONDS=900
MACHINE_ID=/etc/machine-id
HOST_KEYS='/etc/ssh/ssh_host_*_key'
problems=''
remark() { problems+="${problems:+; }$*"; }

fail() {
  printf '%s' "$2${problems:+ ($problems)}" | head -c 2000 >"$out/failure"
  sync
  exit "$1"
}

note() { printf '%s\n' "$*" >>"$out/done"; }

# Whether $1, a path in the guest, is a regular file by its own name (I4).
is_file() {
  local at=$target$1
  [[ -f $at && ! -L $at && $(realpath -e -- "${at%/*}") == "${at%/*}" ]]
}

# Standard input becomes the content of $1, which is there or whose folder is (I1, I4).
rewrite() {
  local folder=$target${1%/*}
  if [[ -L $target$1 || $(realpath -e -- "$folder" 2>/dev/null) != "$folder" ]] || ! cat >"$target$1"; then
    fail "$EXIT_WRITE" "$1 could not be written"
  fi
}

# Regular files by the patterns given, as paths in the guest.
files_like() {
  local pattern path
  for pattern in "$@"; do
    while IFS= read -r path; do
      path=${path#"$target"}
      if is_file "$path"; then printf '%s\n' "$path"; fi
    done < <(compgen -G "$target$pattern")
  done
}

drop() {
  rm -f -- "$target$1" || fail "$EXIT_WRITE" "$1 could not be removed"
  note "removed $1"
}

# Empty and there: systemd makes a new one at the next boot, which is not taken for a first boot (machine-id(5)): no
# presets are applied. Without systemd whoever needs it makes it when it is not there.
renew_machine_id() {
  local dbus=/var/lib/dbus/machine-id
  if [[ -e $target/usr/lib/systemd/systemd || -e $target/lib/systemd/systemd ]]; then
    # A link to D-Bus' would become one to itself.
    if [[ -L $target$MACHINE_ID ]]; then rm -f -- "$target$MACHINE_ID"; fi
    rewrite "$MACHINE_ID" </dev/null
    # D-Bus' own copy would be taken for the new one.
    if is_file "$dbus"; then
      drop "$dbus"
      ln -s "$MACHINE_ID" "$target$dbus"
    fi
  else
    if is_file "$dbus"; then drop "$dbus"; fi
    if is_file "$MACHINE_ID"; then drop "$MACHINE_ID"; fi
  fi
  note 'machine-id'
}

# The files of the guest's host keys. A key elsewhere is not one that is known how to be made anew.
host_keys() {
  local other
  other=$(files_like /etc/ssh/sshd_config '/etc/ssh/sshd_config.d/*.conf' | while IFS= read -r path; do
    sed -nE 's/^[[:space:]]*HostKey[[:space:]=]+"?([^"[:space:]]+).*/\1/Ip' "$target$path"
  done | grep -vE '^/etc/ssh/ssh_host_[a-z0-9]+_key$' | head -n 1)
  [[ -z $other ]] || fail "$EXIT_KEYS" "an SSH host key of the guest lies at $other, which can not be made anew"
  files_like "$HOST_KEYS"
  if [[ $(files_like "$HOST_KEYS" | wc -l) != "$(compgen -G "$target$HOST_KEYS" | wc -l)" ]]; then
    fail "$EXIT_KEYS" 'an SSH host key of the guest is a link, or lies below one'
  fi
}

# What ssh-keygen needs, on a file system of its own: /dev and /run of a guest are empty on its disk.
enter_tree() {
  if ! mount -t tmpfs -o nosuid,mode=755 tmpfs "$target/dev" ||
    ! mount -t tmpfs -o nosuid,nodev,mode=700 tmpfs "$target/run"; then
    fail "$EXIT_KEYS" 'the guest lacks the folders of a system'
  fi
  mknod -m 666 "$target/dev/null" c 1 3
  mknod -m 666 "$target/dev/random" c 1 8
  mknod -m 666 "$target/dev/urandom" c 1 9
}

keygen() {
  timeout --kill-after=30 "$KEYS_SECONDS" unshare --pid --fork --ipc --uts --net chroot "$target" \
    /usr/bin/env -i PATH=/usr/bin:/bin LC_ALL=C HOME=/run ssh-keygen "$@" </dev/null
}

renew_host_keys() {
  local path kind bits words keys
  keys=$(host_keys) || exit "$EXIT_KEYS"
  [[ -n $keys ]] || return 0
  enter_tree
  while IFS= read -r path; do
    # "3072 SHA256:... comment (RSA)"
    words=$(keygen -l -f "$path" 2>/dev/null)
    [[ $words =~ ^([0-9]+)\ .*\((RSA|ECDSA|ED25519|DSA)\)$ ]] || fail "$EXIT_KEYS" "$path is not understood"
    bits=${BASH_REMATCH[1]} kind=${BASH_REMATCH[2]}
    keygen -q -t "${kind,,}" -b "$bits" -N '' -C "root@$hostname" -f /run/key ||
      fail "$EXIT_KEYS" "the guest's ssh-keygen made no key of the kind $kind"
    rewrite "$path" <"$target/run/key"
    rewrite "$path.pub" <"$target/run/key.pub"
    rm -f -- "$target/run/key" "$target/run/key.pub"
    # A certificate of the old key is of no use to the new one.
    if is_file "$path-cert.pub"; then drop "$path-cert.pub"; fi
    note "ssh key $path"
  done <<<"$keys"
  umount -- "$target/dev" "$target/run"
}

# The name by which the guest knew itself becomes the new one, in /etc/hosts too (rename-hosts.awk).
rename_host() {
  local old='' hosts=/etc/hosts
  if is_file /etc/hostname; then old=$(head -n 1 "$target/etc/hostname" | tr -d '[:space:]'); fi
  rewrite /etc/hostname <<<"$hostname"
  if is_file "$hosts"; then
    # No `awk` in the appliance: who makes that link has not run there.
    gawk -v old="$old" -v new="$hostname" -f "$(dirname "$0")/rename-hosts.awk" "$target$hosts" >/var/tmp/hosts ||
      fail "$EXIT_WRITE" "$hosts could not be read"
    rewrite "$hosts" </var/tmp/hosts
  fi
  if is_file /etc/sysconfig/network; then
    sed "s/^HOSTNAME=.*/HOSTNAME=$hostname/" "$target/etc/sysconfig/network" >/var/tmp/network ||
      fail "$EXIT_WRITE" '/etc/sysconfig/network could not be read'
    rewrite /etc/sysconfig/network </var/tmp/network
  fi
  note "hostname $hostname"
}

# Configuration of the network that is bound to a card by its address goes on to mean that card.
follow_cards() {
  local path old new
  while IFS= read -r path; do
    cp -- "$target$path" /var/tmp/config || fail "$EXIT_WRITE" "$path could not be read"
    while read -r old new; do
      sed -i "s/$old/$new/gI" /var/tmp/config || fail "$EXIT_WRITE" "$path could not be changed"
    done <"$job/macs"
    cmp -s -- "$target$path" /var/tmp/config && continue
    rewrite "$path" </var/tmp/config
    note "card addresses in $path"
  done < <(files_like /etc/network/interfaces '/etc/network/interfaces.d/*' '/etc/netplan/*' \
    '/etc/systemd/network/*' '/etc/NetworkManager/system-connections/*' '/etc/sysconfig/network-scripts/ifcfg-*')
}

# What the source kept by its old identity: seeds of randomness, leases and their names for the guest, names of cards.
drop_leftovers() {
  local path
  while IFS= read -r path; do drop "$path"; done < <(files_like /var/lib/systemd/random-seed \
    /var/lib/urandom/random-seed /var/lib/random-seed \
    '/var/lib/dhcp/*.leases' '/var/lib/dhclient/*.lease*' '/var/lib/NetworkManager/*.lease' \
    /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps \
    '/var/lib/dhcpcd/*.lease*' /var/lib/dhcpcd/duid '/var/lib/dhcpcd5/*.lease*' /etc/dhcpcd.duid \
    '/etc/udev/rules.d/70-persistent-net.rules' '/etc/udev/rules.d/*-persistent-net.rules')
}

hostname=$(<"$job/hostname")
use_disks "$@"
if ! find_root || ! mount_guest "$target" rw; then
  fail "$EXIT_SYSTEM" 'no system was found on its disks'
fi
[[ -z $problems ]] || fail "$EXIT_SYSTEM" 'not all of its file systems could be mounted'
renew_machine_id
renew_host_keys
rename_host
follow_cards
drop_leftovers
sync
umount -R "$target" || fail "$EXIT_WRITE" 'its file systems could not be unmounted'
exit 0
