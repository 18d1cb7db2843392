#!/bin/bash
# Room: io, appliance. For tests: lays guests of several distributions on empty disks, inside the appliance, since
# no volume manager and no file system is to be had on the host.
#
#   fixture-guests.sh OUT
#
# Disks: diska and diskb an Ubuntu guest (UEFI; LVM over both, xfs and ext4), diskc a CentOS guest (BIOS; xfs,
# ext4 by label; RPM database in SQLite), diskd a Fedora guest (btrfs with subvolumes, one of them the default).
set -euo pipefail
export LC_ALL=C
disks=/dev/disk/guestfs
tree=/sysroot

settle() { udevadm settle; }

# A tree that every guest has: os-release, an enabled service.
system() {
  mkdir -p "$tree"/{etc,usr/lib,var/lib} "$tree/etc/systemd/system/multi-user.target.wants"
  ln -s usr/lib "$tree/lib"
  printf '%s\n' "$1" >"$tree/usr/lib/os-release"
  ln -s ../usr/lib/os-release "$tree/etc/os-release"
  ln -s "/usr/lib/systemd/system/$2" "$tree/etc/systemd/system/multi-user.target.wants/$2"
}

dpkg_status() {
  local name version
  while read -r name version; do
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n' "$name" "$version"
  done
}

# Packages of the names, epochs and versions on standard input, in the database below $1.
rpm_database() {
  local folder=$1 name epoch version
  local work=/var/tmp/rpms
  mkdir -p "$work"
  while read -r name epoch version; do
    printf 'Name: %s\nEpoch: %s\nVersion: %s\nRelease: 1.el9\nSummary: x\nLicense: x\n%%description\nx\n%%files\n' \
      "$name" "$epoch" "$version" >"$work/$name.spec"
    rpmbuild --quiet -bb --target x86_64 --define "_topdir $work" "$work/$name.spec"
  done
  mkdir -p "$folder"
  rpm --dbpath "$folder" --nodeps --justdb --ignorearch --noscripts \
    -i "$work"/RPMS/x86_64/*.rpm
  rm -rf "$work"
}

uuid() { blkid -s UUID -o value -- "$1"; }

ubuntu() {
  printf 'label: gpt\nsize=32MiB, type=uefi\ntype=lvm\n' | sfdisk -q "$disks/diska"
  settle
  mkfs.vfat "$disks/diska1"
  pvcreate -q "$disks/diska2" "$disks/diskb"
  vgcreate -q ubuntu-vg "$disks/diska2" "$disks/diskb"
  lvcreate -q -y -L 320M -n root ubuntu-vg
  lvcreate -q -y -l 100%FREE -n var ubuntu-vg
  settle
  mkfs.xfs -q /dev/ubuntu-vg/root
  mkfs.ext4 -q /dev/ubuntu-vg/var
  mount /dev/ubuntu-vg/root "$tree"
  mkdir -p "$tree/var"
  mount /dev/ubuntu-vg/var "$tree/var"
  system $'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"' ssh.service
  printf '%s\n' '/dev/mapper/ubuntu--vg-root / xfs defaults 0 1' '/dev/ubuntu-vg/var /var ext4 defaults 0 2' \
    "UUID=$(uuid "$disks/diska1") /boot/efi vfat umask=0077 0 1" '/swap.img none swap sw 0 0' >"$tree/etc/fstab"
  mkdir -p "$tree/var/lib/dpkg" "$tree/etc/postgresql/14/main" "$tree/var/lib/postgresql/14/main"
  dpkg_status >"$tree/var/lib/dpkg/status" <<<$'dpkg 1.21.1\npostgresql-14 14.11-0ubuntu0.22.04.1'
  printf "data_directory = '/var/lib/postgresql/14/main'\n" >"$tree/etc/postgresql/14/main/postgresql.conf"
  echo 14 >"$tree/var/lib/postgresql/14/main/PG_VERSION"
  umount "$tree/var" "$tree"
  vgchange -q -an ubuntu-vg
}

centos() {
  printf '\353\143' | dd of="$disks/diskc" conv=notrunc status=none
  settle
  printf 'label: dos\nsize=320MiB, type=83, bootable\ntype=83\n' | sfdisk -q "$disks/diskc"
  settle
  mkfs.xfs -q "$disks/diskc1"
  mkfs.ext4 -q -L var "$disks/diskc2"
  mount "$disks/diskc1" "$tree"
  mkdir -p "$tree/var"
  mount "$disks/diskc2" "$tree/var"
  system $'ID="centos"\nVERSION_ID="9"\nPRETTY_NAME="CentOS Stream 9"' mariadb.service
  printf '%s\n' "UUID=$(uuid "$disks/diskc1") / xfs defaults 0 0" 'LABEL=var /var ext4 defaults 1 2' >"$tree/etc/fstab"
  mkdir -p "$tree/etc/my.cnf.d" "$tree/var/lib/mysql"
  printf '[mysqld]\ndatadir=/var/lib/mysql\n' >"$tree/etc/my.cnf.d/mariadb-server.cnf"
  rpm_database "$tree/var/lib/rpm" <<<$'rpm 0 4.16.1.3\nmariadb-server 3 10.5.22\nhttpd 0 2.4.57'
  umount "$tree/var" "$tree"
}

fedora() {
  mkfs.btrfs -q "$disks/diskd"
  mount "$disks/diskd" "$tree"
  btrfs -q subvolume create "$tree/@"
  mkdir -p "$tree/@/.snapshots/1"
  btrfs -q subvolume create "$tree/@/.snapshots/1/snapshot"
  btrfs -q subvolume create "$tree/@/var"
  btrfs -q subvolume set-default "$tree/@/.snapshots/1/snapshot"
  umount "$tree"
  mount "$disks/diskd" "$tree"
  mkdir -p "$tree/var"
  mount -o subvol=/@/var "$disks/diskd" "$tree/var"
  system $'ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40"' sshd.service
  printf 'UUID=%s %s btrfs %s 0 0\n' "$(uuid "$disks/diskd")" / defaults \
    "$(uuid "$disks/diskd")" /var subvol=/@/var >"$tree/etc/fstab"
  rpm_database "$tree/usr/lib/sysimage/rpm" <<<$'rpm 0 4.19.1\nbash 0 5.2.26'
  mkdir -p "$tree/var/lib"
  ln -s ../../usr/lib/sysimage/rpm "$tree/var/lib/rpm"
  umount "$tree/var" "$tree"
}

ubuntu
centos
fedora
