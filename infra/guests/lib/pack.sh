#!/usr/bin/env bash
# Room: infra/guests. Makes a partitioned disk that boots by itself out of a tree, mounting nothing.
# Runs as root of a user namespace, so that files keep the owners that they have in the tree.
#
#   pack.sh WORK START_SECTOR SIZE_MIB BLOCK_BYTES FS_UUID SITE_DIR KERNEL_ARGUMENTS TREE
#
# WORK holds tree.tar (the installed system) and late.tar (what is laid over it). TREE is the folder
# of the installed system that becomes the disk, empty for all of it. Afterwards WORK holds also
# disk.raw and site.sha256 (empty when SITE_DIR is not there).
set -euo pipefail
export LC_ALL=C
work=$1 start_sector=$2 size_mib=$3 block_bytes=$4 fs_uuid=$5 site_dir=$6 kernel_arguments=$7 tree=tree$8
cd "$work"
GRUB=/usr/lib/grub/i386-pc

# Prints GRUB modules with all that they depend on.
with_dependencies() {
  local queue=("$@") seen=' ' module
  while ((${#queue[@]})); do
    module=${queue[0]} queue=("${queue[@]:1}")
    [[ $seen == *" $module "* ]] && continue
    seen+="$module "
    printf '%s\n' "$module"
    # shellcheck disable=SC2207
    queue+=($(sed -n "s/^$module: *//p" "$GRUB/moddep.lst"))
  done
}

# Links core.img with the named modules built in. It finds the file system by its UUID.
link_core() {
  # shellcheck disable=SC2016 # $root is GRUB's variable
  printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$fs_uuid" >load.cfg
  grub-mkimage -O i386-pc -o core.img -p '(hd0,msdos1)/boot/grub' -c load.cfg \
    biosdisk part_msdos ext2 search_fs_uuid "$@"
}

core_fits() { (($(stat -c %s core.img) <= (start_sector - 1) * 512)); }

mkdir tree
trap 'rm -rf --one-file-system -- tree' EXIT
# /dev is filled by the guest's kernel; device nodes need rights that a user namespace has not.
tar -xpf tree.tar -C tree --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*'
rm -f tree.tar
tar -xpf late.tar -C "$tree" --numeric-owner

mkdir -p "$tree/boot/grub"
# Everything in the core image boots quickest; before an old-fashioned partition there is no room for it.
link_core normal linux
if ! core_fits; then
  link_core
  core_fits || { echo "pack.sh: GRUB's core image does not fit before sector $start_sector" >&2; exit 1; }
  mkdir "$tree/boot/grub/i386-pc"
  for module in $(with_dependencies normal linux); do
    cp -- "$GRUB/$module.mod" "$tree/boot/grub/i386-pc/"
  done
fi
printf 'insmod linux\nlinux /vmlinuz root=UUID=%s ro console=ttyS0 %s\ninitrd /initrd.img\nboot\n' \
  "$fs_uuid" "$kernel_arguments" >"$tree/boot/grub/grub.cfg"
printf 'UUID=%s / ext4 errors=remount-ro 0 0\n' "$fs_uuid" >"$tree/etc/fstab"

: >site.sha256
if [[ -n $site_dir && -d $tree$site_dir ]]; then
  (cd "$tree$site_dir" && find . -type f -printf '%P\0' | sort -z | xargs -0 -r sha256sum --) >site.sha256
fi

disk_sectors=$((size_mib * 2048))
truncate -s "${size_mib}M" disk.raw
printf 'label: dos\nlabel-id: 0x%s\nstart=%d, type=83, bootable\n' "${fs_uuid:0:8}" "$start_sector" |
  sfdisk -q --no-reread --no-tell-kernel disk.raw

# orphan_file and metadata_csum_seed are unknown to the release's own GRUB. Inode tables are zeroed
# now, or a kernel thread would do it behind the guest's first minutes.
mke2fs -q -F -t ext4 -b "$block_bytes" -m 1 -U "$fs_uuid" -O '^orphan_file,^metadata_csum_seed' \
  -E "offset=$((start_sector * 512)),lazy_itable_init=0,lazy_journal_init=0,hash_seed=$fs_uuid" \
  -d "$tree" disk.raw "$(((disk_sectors - start_sector) * 512 / block_bytes))"

# GRUB, as grub-install lays it down: boot.img in the boot sector around the partition table, the
# core image in the gap before the partition. boot.img expects the core at sector 1, contiguous.
dd if="$GRUB/boot.img" of=disk.raw bs=440 count=1 conv=notrunc status=none
dd if=core.img of=disk.raw bs=512 seek=1 conv=notrunc status=none
