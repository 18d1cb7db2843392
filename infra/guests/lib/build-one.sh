#!/usr/bin/env bash
# Room: infra/guests. Builds one guest, or finds that the one in the cache is current.
#
# I1  One builder per guest: the others wait for its lock and then find the work done.
# I2  Nothing half-made ever stands under a final name; a failed build leaves only its log.
# I3  A guest is placed only after it has been booted, its services have answered, it has shut down
#     by itself, and its file system is clean.
#
#   build-one.sh NAME FORCE(0|1)
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=common.sh
source "$here/common.sh"
# shellcheck source=archives.sh
source "$here/archives.sh"
# shellcheck source=assemble.sh
source "$here/assemble.sh"
# shellcheck source=clone.sh
source "$here/clone.sh"
# shellcheck source=boot.sh
source "$here/boot.sh"

READY_SECONDS=300  # what a guest's specification allows it until it is ready
LOG_LINES=25       # of a failed build that are shown

step() {
  current_step=$1
  say "$1"
  printf '\n--- %s\n' "$1" >>"$build_log"
}

finish() {
  local status=$?
  if [[ -n ${qemu_pid:-} ]]; then kill -KILL "$qemu_pid" 2>/dev/null || true; fi
  if ((status != 0)); then
    {
      printf '%s: failed (status %d) while: %s\n' "$guest_name" "$status" "$current_step"
      printf -- '  the last lines of %s:\n' "$build_log"
      tail -n "$LOG_LINES" -- "$build_log" | sed 's/^/    /'
      if [[ -s $serial_log ]]; then
        printf -- '  the last lines of the guest'"'"'s console:\n'
        tail -n "$LOG_LINES" -- "$serial_log" | tr -d '\r' | sed 's/^/    /'
      fi
    } >&2
  fi
  as_tree_root rm -rf --one-file-system -- "$work"
}
# Boots the disk as anybody would and proves that it serves; sets ready_seconds.
boot_and_check() {
  local disk=$1 format=$2 started
  local net=''
  if ((guest_http_port > 0)); then net=",hostfwd=tcp:127.0.0.1:0-:$guest_http_port"; fi
  step 'booting it'
  started=$SECONDS
  guest_start "$disk" "$format" "$serial_log" "$net" deny
  guest_wait_ready "$serial_log"
  ready_seconds=$((SECONDS - started))
  if ((guest_http_port > 0)); then
    step "ready after $ready_seconds s; fetching $(wc -l <"$work/site.sha256") files and comparing them"
    guest_check_site "$work/site.sha256" "$work/fetched"
    recipe_check
  fi
  step 'shutting it down'
  guest_power_off
}

write_specification() {
  local ports='' ready=null
  if ((guest_http_port > 0)); then
    ports="{\"name\": \"http\", \"guest\": $guest_http_port}"
    ready="{\"kind\": \"http\", \"port\": \"http\", \"path\": \"$guest_ready_path\", \"timeoutSeconds\": $READY_SECONDS}"
  fi
  cat <<JSON
{
  "name": "$guest_name",
  "disks": [{"file": "$guest_name.$guest_format", "format": "$guest_format"}],
  "vcpus": $guest_vcpus,
  "memoryMiB": $guest_memory_mib,
  "firmware": "bios",
  "ports": [$ports],
  "ready": $ready
}
JSON
}

write_record() {
  local site=null ports=''
  if [[ -s $work/site.sha256 ]]; then
    site="{\"manifest\": \"$guest_name.site.sha256\", \"files\": $(wc -l <"$work/site.sha256")}"
  fi
  if ((guest_http_port > 0)); then ports="{\"name\": \"http\", \"guest\": $guest_http_port}"; fi
  cat <<JSON
{
  "name": "$guest_name",
  "title": "$guest_title",
  "file": "$guest_name.$guest_format",
  "format": "$guest_format",
  "virtualSizeBytes": $((guest_size_mib * 1024 * 1024)),
  "allocatedBytes": $(($(stat -c '%b * %B' -- "$1"))),
  "partitionStartSector": $guest_start_sector,
  "fileSystemBlockBytes": $guest_block_bytes,
  "specification": "$guest_name.vm.json",
  "ports": [$ports],
  "site": $site,
  "readySeconds": $ready_seconds,
  "buildSeconds": $SECONDS,
  "builtAt": "$(date -u +%FT%TZ)",
  "recipeHash": "$hash"
}
JSON
}

# Boots and checks $work/disk.raw, in the format that the guest is to have; sets disk.
prove_disk() {
  disk=$work/disk.raw
  if [[ $guest_format != raw ]]; then
    step "converting the disk to $guest_format"
    qemu-img convert -f raw -O "$guest_format" -- "$disk" "$work/disk.$guest_format" >>"$build_log" 2>&1
    rm -f -- "$disk"
    disk=$work/disk.$guest_format
  fi
  boot_and_check "$disk" "$guest_format"

  step 'checking its file system'
  if [[ $guest_format == raw ]]; then
    check_filesystem "$disk"
  else
    qemu-img convert -f "$guest_format" -O raw -- "$disk" "$work/check.raw" >>"$build_log" 2>&1
    check_filesystem "$work/check.raw"
    rm -f -- "$work/check.raw"
  fi
}

place_guest() {
  step 'placing it in the cache'
  rm -f -- "$cache/$guest_name.json"
  write_specification >"$work/vm.json"
  write_record "$disk" >"$work/record.json"
  place "$disk" "$cache/$guest_name.$guest_format"
  if [[ -s $work/site.sha256 ]]; then place "$work/site.sha256" "$cache/$guest_name.site.sha256"; fi
  place "$work/vm.json" "$cache/$guest_name.vm.json"
  if [[ -f $work/vmlinuz ]]; then
    mkdir -p "$cache/probe"
    place "$work/vmlinuz" "$cache/probe/vmlinuz"
  fi
  place "$work/record.json" "$cache/$guest_name.json"
  # Packages that no build has used for a month.
  find "$cache/debs" -type f -mtime +30 -delete
  say "done: ready $ready_seconds s after power-on"
}

# One function, so that bash has read all of it before it starts: this file may be changed meanwhile.
main() {
  cache=$(guests_cache_dir)
  load_recipe "$1"
  force=$2
  hash=$(recipe_hash "$guest_name")
  mkdir -p "$cache/locks" "$cache/logs" "$cache/debs" "$cache/relay"

  exec {lock}>"$cache/locks/$guest_name"
  if ! flock -n "$lock"; then
    say 'another builder is at work on it; waiting'
    flock "$lock"
  fi
  if [[ $force != 1 ]] && is_current "$cache" "$guest_name" "$hash"; then
    say 'is there already'
    exit 0
  fi

  if [[ -n $guest_parent ]]; then bash "$here/build-one.sh" "$guest_parent" 0; fi

  # Left by a builder that was killed: nobody else can own it while we hold the lock.
  as_tree_root rm -rf --one-file-system -- "$cache/work/$guest_name"
  work=$cache/work/$guest_name
  mkdir -p "$work"
  build_log=$cache/logs/$guest_name.log
  : >"$build_log"
  serial_log=$work/serial.log
  : >"$serial_log"
  current_step='starting'
  trap finish EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT

  step "building: $guest_title"
  if [[ -n $guest_parent ]]; then clone_disk; else assemble_disk; fi
  prove_disk
  place_guest
  exit 0
}

main "$@"
