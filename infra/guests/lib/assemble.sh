# shellcheck shell=bash
# Room: infra/guests. Installs a guest on its own from the Debian archives and makes a disk of it.

# What every guest that assembles itself has, to be a machine at all.
COMMON_PACKAGES=(linux-image-cloud-amd64 initramfs-tools zstd)

# Fills a folder with a tar's content owned by root, whoever runs this.
tar_as_root() { tar -C "$1" --owner=0 --group=0 --numeric-owner --sort=name -cf "$2" .; }

# Lays down what only this guest has: names, sources, and the recipe's own files.
write_late_files() {
  local dir=$1 sources=$2
  mkdir -p "$dir/etc/apt/sources.list.d"
  printf '%s\n' "$guest_name" >"$dir/etc/hostname"
  printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n' "$guest_name" >"$dir/etc/hosts"
  # The name server of QEMU's user networking.
  printf 'nameserver 10.0.2.3\n' >"$dir/etc/resolv.conf"
  # Empty: the guest gives itself one at its first boot.
  : >"$dir/etc/machine-id"
  cp -- "$sources" "$dir/etc/apt/sources.list.d/debian.sources"
}

# Runs mmdebstrap into $work/tree.tar. Arguments: the sources file.
install_tree() {
  local sources=$1 line mode=unshare
  local -a options=() include=("${COMMON_PACKAGES[@]}" "${guest_packages[@]}")
  if ((EUID == 0)); then mode=root; fi
  while IFS= read -r line; do options+=("--aptopt=$line"); done < <(machine_apt_options)
  mkdir -p "$work/new-debs" "$work/debs"
  # A copy of its own: tar gives up on a folder that another build adds to meanwhile.
  find "$cache/debs" -name '*.deb' -exec cp --reflink=auto -t "$work/debs" -- {} +
  if [[ -f $RECIPES_DIR/$guest_install/install.sh ]]; then
    cp -- "$RECIPES_DIR/$guest_install/install.sh" "$work/guest/"
  fi
  tar_as_root "$here/overlay" "$work/overlay.tar"
  tar_as_root "$work/guest" "$work/guest.tar"
  # Single quotes: mmdebstrap's own shell expands "$1", the tree.
  # shellcheck disable=SC2016
  setpriv --pdeathsig TERM -- mmdebstrap --mode="$mode" --variant="$guest_variant" \
    --architectures=amd64 --format=tar --include="$(IFS=,; printf '%s' "${include[*]}")" \
    --dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' "${options[@]}" \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
    --setup-hook="sync-in '$work/debs' /var/cache/apt/archives" \
    --extract-hook='rm -rf "$1"/usr/share/man/* "$1"/usr/share/info/* "$1"/usr/share/locale/* "$1"/usr/share/lintian/*' \
    --extract-hook='find "$1/usr/share/doc" -type f ! -name copyright -delete' \
    --extract-hook="tar-in '$work/overlay.tar' /" \
    --extract-hook="sync-out /var/cache/apt/archives '$work/new-debs'" \
    --customize-hook='mkdir -p "$1/tmp/guest"' \
    --customize-hook="tar-in '$work/guest.tar' /tmp/guest" \
    --customize-hook="upload '$here/customise.sh' /tmp/guest/customise.sh" \
    --customize-hook='chroot "$1" sh /tmp/guest/customise.sh' \
    --customize-hook="sync-out /var/cache/apt/archives '$work/new-debs'" \
    -- "$GUEST_SUITE" "$work/tree.tar" "$sources" >>"$build_log" 2>&1 </dev/null &
  # Waited for, not run in front: so a signal ends this script, and its end ends mmdebstrap.
  wait "$!"
  # Renaming within one file system: another build never sees half a package.
  find "$work/new-debs" -name '*.deb' -exec mv -n -t "$cache/debs" -- {} +
  rm -rf "$work/new-debs" "$work/debs" "$work/guest" "$work/guest.tar" "$work/overlay.tar"
}

# Builds $work/disk.raw, $work/site.sha256 and, for the base, $work/vmlinuz.
assemble_disk() {
  local sources=$work/debian.sources fs_uuid
  step 'finding the Debian archives of this machine'
  write_sources "$sources" "$cache/apt" 2>>"$build_log"
  mkdir -p "$work/late" "$work/guest"
  step 'making its user data'
  recipe_data "$work/late" "$work/guest" >>"$build_log" 2>&1
  step "installing $GUEST_SUITE with mmdebstrap"
  install_tree "$sources"
  step 'making a disk of it'
  write_late_files "$work/late" "$sources"
  tar_as_root "$work/late" "$work/late.tar"
  fs_uuid=$(uuid_of "vmdn-guest:$guest_name")
  as_tree_root bash "$here/pack.sh" "$work" "$guest_start_sector" "$guest_size_mib" \
    "$guest_block_bytes" "$fs_uuid" "$guest_site_dir" "$guest_kernel_arguments" "$guest_tree" >>"$build_log" 2>&1
  rm -rf "$work/late" "$work/late.tar" "$work/tree.tar"
  if [[ $guest_name == debian-12-base ]]; then extract_boot_file vmlinuz "$work/disk.raw" "$work/vmlinuz"; fi
}

# Copies /boot/KIND-VERSION out of a raw disk with debugfs.
extract_boot_file() {
  local kind=$1 at="$2?offset=$((guest_start_sector * 512))" target=$3 name
  name=$(debugfs -R 'ls -p /boot' "$at" 2>/dev/null | awk -F/ -v kind="$kind-" 'index($6, kind) == 1 { print $6 }' | sort -V | tail -n 1)
  [[ -n $name ]] || die "$2 holds no /boot/$kind"
  debugfs -R "dump /boot/$name $target" "$at" >>"$build_log" 2>&1
  [[ -s $target ]] || die "could not copy /boot/$name out of $2"
}
