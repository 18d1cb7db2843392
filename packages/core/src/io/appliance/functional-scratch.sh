# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables are shared with functional.sh
# Room: io, appliance. Sourced by functional.sh: a destination made from scratch where no image of the release is at
# hand: partitions, file system, the distribution's packages, boot loader.
#
# I1  Packages are those that the host fetched and verified; what installs them has no network, and their scripts run
#     in the new tree (confined) and nowhere else.
# I2  Everything that starts the machine is the destination's own: nothing of the source's boot sector or /boot.
# I3  One file system holds everything, whatever the source has its parts on.
#
# The disk begins with a partition for the boot loader: GRUB's core image by BIOS, a FAT file system by UEFI.

# Sets root_device and boot_device, mounts the new file system at $target.
make_disk() {
  local disk boot_type tool
  for tool in mmdebstrap perl grub-mkimage; do
    [[ $format == deb || $tool == grub-mkimage ]] || continue
    command -v "$tool" >/dev/null || fail "$EXIT_TARGET" "the appliance lacks $tool; see infra/setup.sh appliance"
  done
  disk=$(readlink -f -- "/dev/disk/guestfs/$target_label")
  case $start in
    bios) boot_type='size=1MiB, type=21686148-6449-6E6F-744E-656564454649' ;;
    uefi) boot_type='size=64MiB, type=uefi' ;;
  esac
  printf 'label: gpt\n%s\ntype=linux\n' "$boot_type" | sfdisk -q "$disk" ||
    fail "$EXIT_ROOM" 'the new disk could not be divided'
  udevadm settle
  boot_device=/dev/disk/guestfs/${target_label}1
  root_device=/dev/disk/guestfs/${target_label}2
  # GRUB of older releases does not know these two.
  mkdir -p "$target"
  if ! mkfs.ext4 -q -F -m 1 -O '^orphan_file,^metadata_csum_seed' "$root_device" || ! mount "$root_device" "$target"; then
    fail "$EXIT_ROOM" 'the new file system could not be made'
  fi
  step mount
  "bootstrap_$format"
  mkdir -p "$target"/{boot,dev,etc,proc,root,run,sys,tmp}
  chmod 1777 "$target/tmp"
  printf 'UUID=%s / ext4 defaults 0 1\n' "$(value_of UUID "$root_device")" >"$target/etc/fstab"
  step bootstrap
}

# Debian's own way: mmdebstrap, from a repository of nothing but these packages, which are read where they lie by a
# mount of its hook's. The initial RAM disk is made at the end, once (INITRD is the kernel packages' own word for that).
bootstrap_deb() {
  local file size sum
  # A few programs for all of them: under emulation each start counts.
  while read -r size file sum; do
    dpkg-deb -f "$packages/$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$size" "$sum"
  done < <(cd "$packages" && paste -d' ' <(stat -c '%s %n' -- *.deb) <(sha256sum -- *.deb | cut -d' ' -f1)) >"$packages/Packages"
  INITRD=No confined mmdebstrap --mode=root --variant=essential --skip=check/qemu --dpkgopt=force-unsafe-io \
    --hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount \
    --aptopt='APT::Sandbox::User "root"' --aptopt='APT::Install-Recommends "false"' \
    --include="$(sed -n 's/^Package: //p' "$packages/Packages" | paste -sd,)" \
    --architectures="$(dpkg --print-architecture)" '' "$target" "deb [trusted=yes] file://$packages ./"
  require_installed "$?" '^(E:|dpkg:|Err|.*error)'
  rmdir -- "$target$packages"
  have_packages=0
  make_initramfs
}

# Debian's initial RAM disk, with what finds the disk on any hypervisor that a copy can go to. A thousand programs in
# place of three thousand, each of which takes tens of milliseconds under emulation; the guest's own settings come with
# its files, for the next one.
make_initramfs() {
  local version settings=$target/etc/initramfs-tools status
  version=$(newest_kernel)
  [[ -x $target/usr/sbin/update-initramfs && -n $version ]] || return 0
  mkdir -p "$settings/conf.d" "$settings/hooks"
  printf 'MODULES=list\nCOMPRESSLEVEL=1\n' >"$settings/conf.d/vmdn"
  cat >"$settings/hooks/vmdn" <<'HOOK'
#!/bin/sh
[ "${1:-}" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ext4 virtio_pci virtio_blk virtio_scsi sd_mod ahci ata_piix nvme xen-blkfront vmw_pvscsi mptspi hv_storvsc
HOOK
  chmod 755 "$settings/hooks/vmdn"
  enter_tree || fail "$EXIT_TARGET" 'the new tree could not be entered'
  in_tree update-initramfs -c -k "$version"
  status=$?
  leave_tree
  require_installed "$status" 'initramfs|^E:|error'
  rm -f -- "$settings/conf.d/vmdn" "$settings/hooks/vmdn"
}

# rpm of the appliance, since the tree has none yet; its database is the source's after the first run of smartSync.
bootstrap_rpm() {
  mkdir -p "$target"/{dev,proc,sys,run,var/lib/rpm}
  enter_tree || fail "$EXIT_TARGET" 'the new tree could not be entered'
  # What is mounted there is no package's to change.
  (cd "$packages" && confined xargs -a "$job/install" rpm --root "$target" --dbpath /var/lib/rpm --nosignature \
    --define '_netsharedpath /proc:/sys' -i)
  require_rpm "$?"
  leave_tree
  have_packages=0
  relabel_later
}

# The version of the newest kernel in the new tree; nothing without one.
newest_kernel() {
  find "$target/boot" -maxdepth 1 -type f -name 'vmlinuz-*' ! -name '*rescue*' -printf '%f\n' |
    sed 's/^vmlinuz-//' | sort -V | tail -n 1
}

# Boot loader and its configuration, for the newest kernel in the new tree's /boot.
make_bootable() {
  local uuid version initrd folder=boot/grub disk
  uuid=$(value_of UUID "$root_device")
  disk=$(readlink -f -- "/dev/disk/guestfs/$target_label")
  [[ $format == deb ]] || folder=boot/grub2
  version=$(newest_kernel)
  [[ -n $version ]] || fail "$EXIT_PACKAGES" 'no package brought a kernel'
  for initrd in "initrd.img-$version" "initramfs-$version.img" ''; do
    [[ ! -f $target/boot/$initrd ]] || break
  done
  [[ -n $initrd ]] || fail "$EXIT_PACKAGES" "no initial RAM disk of the kernel $version was made"
  mkdir -p "$target/$folder"
  {
    printf 'search --no-floppy --fs-uuid --set=root %s\n' "$uuid"
    printf 'linux /boot/%s root=UUID=%s ro console=tty0 console=ttyS0\ninitrd /boot/%s\nboot\n' "vmlinuz-$version" "$uuid" "$initrd"
  } >"$target/$folder/grub.cfg"
  # shellcheck disable=SC2016 # $root is GRUB's variable
  printf 'search.fs_uuid %s root\nset prefix=($root)/%s\n' "$uuid" "$folder" >/var/tmp/load.cfg
  "install_grub_$start" "$disk" "$folder" || fail "$EXIT_TARGET" 'the boot loader could not be installed'
}

GRUB_MODULES=(part_gpt ext2 search_fs_uuid search normal linux)

# The boot sector starts core.img, which has a partition of its own (GRUB manual, "BIOS installation").
install_grub_bios() {
  local disk=$1 grub=/usr/lib/grub/i386-pc first
  grub-mkimage -O i386-pc -o /var/tmp/core.img -p "/$2" -c /var/tmp/load.cfg biosdisk "${GRUB_MODULES[@]}" || return
  first=$(partx -g -o START -n 1 -- "$disk" | tr -d ' ')
  [[ $first =~ ^[1-9][0-9]*$ ]] || return
  dd if="$grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none || return
  # Where the first sector of core.img lies (kernel_sector, at 0x5c of boot.img), and in that where the rest does
  # (the last entry of its block list, at 0x1f4).
  little_endian "$first" | dd of="$disk" bs=1 seek=92 conv=notrunc status=none || return
  little_endian "$((first + 1))" | dd of=/var/tmp/core.img bs=1 seek=500 conv=notrunc status=none || return
  dd if=/var/tmp/core.img of="$boot_device" conv=notrunc status=none
}

# A number as eight bytes.
little_endian() {
  local number=$1 i
  for ((i = 0; i < 8; i++)); do
    printf '%b' "\\x$(printf '%02x' "$(((number >> (8 * i)) & 255))")"
  done
}

# Firmware starts BOOTX64.EFI of the first FAT partition where it knows of nothing else.
install_grub_uefi() {
  mkfs.vfat "$boot_device" >/dev/null && mkdir -p "$target/boot/efi" && mount -t vfat "$boot_device" "$target/boot/efi" &&
    mkdir -p "$target/boot/efi/EFI/BOOT" &&
    grub-mkimage -O x86_64-efi -o "$target/boot/efi/EFI/BOOT/BOOTX64.EFI" -p "/$2" -c /var/tmp/load.cfg \
      fat "${GRUB_MODULES[@]}" && umount "$target/boot/efi" &&
    printf 'UUID=%s /boot/efi vfat umask=0077 0 2\n' "$(value_of UUID "$boot_device")" >>"$target/etc/fstab"
}
