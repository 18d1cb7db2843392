# shellcheck shell=bash
# Room: infra/guests. Makes a guest as people do: copy an existing one's disk, start it, let its own
# apt install packages, give it data of its own.
#
# I1  Packages come by the guest's own apt, with its signature checks, from the archives in its own
#     sources. The relay only carries bytes for it.
# I2  The clone's disk is changed by the running guest alone: the kernel is started from outside for
#     this one boot, so that nothing has to be written into the disk to make it run provision.sh.

PROVISION_SECONDS=1800
PROVISION_MARK='vmdn-guest: provisioned'
RELAY_ADDRESS=10.0.2.100:3142

clone_disk() {
  local parent=$guest_parent parent_disk payload=$work/payload
  parent_disk=$cache/$parent.raw
  step "cloning the disk of $parent"
  exec {parent_lock}>"$cache/locks/$parent"
  flock -s "$parent_lock"
  cp --reflink=auto --sparse=always -- "$parent_disk" "$work/disk.raw"
  exec {parent_lock}>&-
  extract_boot_file vmlinuz "$work/disk.raw" "$work/boot-kernel"
  extract_boot_file initrd.img "$work/disk.raw" "$work/boot-initrd"

  step 'making its user data'
  mkdir -p "$payload/files"
  recipe_data "$payload/files" "$payload" >>"$build_log" 2>&1
  (cd "$payload/files$guest_site_dir" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum --) >"$work/site.sha256"
  write_provision_settings >"$payload/settings"
  cp -- "$here/provision.sh" "$payload/"
  if [[ -f $RECIPES_DIR/$guest_install/install.sh ]]; then
    cp -- "$RECIPES_DIR/$guest_install/install.sh" "$payload/"
  fi
  tar_as_root "$payload" "$work/payload.raw"
  rm -rf -- "$payload"

  provision
  rm -f -- "$work/boot-kernel" "$work/boot-initrd" "$work/payload.raw"
}

# What provision.sh is told, as shell assignments.
write_provision_settings() {
  printf 'guest_name=%q\nproxy=%q\npackages=%q\nmark=%q\n' "$guest_name" "http://$RELAY_ADDRESS" \
    "${guest_packages[*]}" "$PROVISION_MARK"
  # The machine's clock settings for apt hold for its guests, which take the time from it.
  printf 'apt_options=%q\n' "$(machine_apt_options | sed -n 's/^\(Acquire::Check-[A-Za-z-]*\) "\(.*\)"$/-o \1=\2/p' | tr '\n' ' ')"
}

provision() {
  local uuid
  step "starting it; its apt installs: ${guest_packages[*]}"
  uuid=$(blkid -p -O "$((guest_start_sector * 512))" -s UUID -o value -- "$work/disk.raw")
  write_sources "$work/debian.sources" "$cache/apt" 2>>"$build_log"
  sed -n 's/^URIs: //p' "$work/debian.sources" | sort -u >"$work/archives"
  : >"$work/relay.log"
  # QEMU splits a guestfwd command at blanks; names relative to its folder, $work, have none.
  cp -- "$here/relay.sh" "$work/relay"
  ln -s "$cache/relay" "$work/relay-cache"
  guest_start "$work/disk.raw" raw "$serial_log" \
    ",guestfwd=tcp:$RELAY_ADDRESS-cmd:./relay archives relay-cache relay.log" allow \
    -kernel "$work/boot-kernel" -initrd "$work/boot-initrd" \
    -append "root=UUID=$uuid ro console=ttyS0 quiet systemd.unit=kernel-command-line.target systemd.run=\"/usr/bin/tar -xf /dev/vdb -C /run --one-top-level=vmdn-guest\" systemd.run=\"/bin/sh /run/vmdn-guest/provision.sh\"" \
    -blockdev "driver=raw,node-name=payload,read-only=on,file.driver=file,file.filename=$work/payload.raw" \
    -device virtio-blk-pci,drive=payload
  guest_wait_end "$PROVISION_SECONDS"
  cat -- "$serial_log" "$work/relay.log" >>"$build_log"
  grep -qF "$PROVISION_MARK" "$serial_log" || die 'its set-up inside the guest failed; its words are in the log'
}
