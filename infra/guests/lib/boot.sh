# shellcheck shell=bash
# Room: infra/guests. Runs a guest in QEMU while it is being built: starts it, waits until it is
# ready, turns it off by its power button. QMP travels over QEMU's standard streams, so there is no
# socket to guard.
#
# I1  QEMU dies with the builder, whatever kills the builder.
# I2  A guest reaches nothing of the host but what the caller forwards to it (restrict=on).
# I3  QEMU runs without root's rights: what it may touch is handed to it open. Only the one boot in
#     which it starts the relay keeps the builder's user, and its guest is Debian's own packages.
# I4  A guest counts as shut down only when QEMU ended by itself after the guest powered off.

QEMU_SANDBOX=on,obsolete=deny,elevateprivileges=deny,resourcecontrol=deny,spawn=deny
# A guestfwd command starts in a session of its own, which `elevateprivileges=deny` forbids too.
QEMU_SANDBOX_SPAWNING=on,obsolete=deny
BOOT_SECONDS=600
STOP_SECONDS=120

# guest_start DISK FORMAT SERIAL_LOG NETDEV_OPTIONS SPAWN(allow|deny) [QEMU ARGUMENT...]
# Sets qemu_pid and guest_host_port (the loopback port that leads to the guest's HTTP port, or 0).
guest_start() {
  local disk=$1 format=$2 serial_log=$3 net=$4 spawn=$5 disk_fd serial_fd
  shift 5
  local sandbox=$QEMU_SANDBOX
  local -a unprivileged=(--no-new-privs)
  if [[ $spawn == allow ]]; then
    sandbox=$QEMU_SANDBOX_SPAWNING
  elif ((EUID == 0)); then
    unprivileged+=(--reuid=65534 --regid=65534 --clear-groups)
  fi
  exec {disk_fd}<>"$disk" {serial_fd}>"$serial_log"
  # shellcheck disable=SC2054 # the commas are QEMU's
  local -a command=(qemu-system-x86_64 -name "build-$guest_name" -nodefaults -no-user-config
    -sandbox "$sandbox"
    -accel "${VMDN_GUESTS_ACCEL:-tcg,thread=multi}" -cpu max
    -smp "$guest_vcpus" -m "$guest_memory_mib" -display none -qmp stdio
    -add-fd "fd=$disk_fd,set=1" -add-fd "fd=$serial_fd,set=2"
    -chardev file,id=serial,path=/dev/fdset/2 -serial chardev:serial
    # Flushes may be skipped: a disk is placed only after a clean shutdown and a sync of our own.
    -blockdev "driver=file,node-name=file,filename=/dev/fdset/1,discard=unmap,cache.no-flush=on"
    -blockdev "driver=$format,node-name=disk,file=file,discard=unmap,detect-zeroes=unmap"
    -device virtio-blk-pci,drive=disk,bootindex=1
    -netdev "user,id=net,restrict=on,ipv6=off$net" -device virtio-net-pci,netdev=net,romfile=)
  coproc QEMU { cd "$work" && exec setpriv --pdeathsig KILL "${unprivileged[@]}" -- "${command[@]}" "$@" 2>>"$build_log"; }
  exec {disk_fd}<&- {serial_fd}>&-
  # bash forgets the array when the process ends, so keep what is needed.
  qemu_pid=$QEMU_PID
  exec {qmp_from}<&"${QEMU[0]}" {qmp_to}>&"${QEMU[1]}"
  guest_host_port=0
  qmp '{"execute": "qmp_capabilities"}'
  if [[ $net == *hostfwd=* ]]; then
    qmp '{"execute": "human-monitor-command", "arguments": {"command-line": "info usernet"}}'
    local line
    while IFS= read -r -t 30 -u "$qmp_from" line; do
      if [[ $line =~ HOST_FORWARD\]\ +[0-9]+\ +127\.0\.0\.1\ +([0-9]+) ]]; then
        guest_host_port=${BASH_REMATCH[1]}
        break
      fi
    done
    ((guest_host_port > 0)) || die 'QEMU did not say which port it forwards; its words are in the log'
  fi
}

qmp() { printf '%s\n' "$1" >&"$qmp_to" || die 'QEMU ended before its time; its words are in the log'; }

guest_alive() { kill -0 "$qemu_pid" 2>/dev/null; }

# Waits until the check given as a command succeeds; fails when the guest ends or the time is up.
guest_wait() {
  local what=$1 limit=$((SECONDS + BOOT_SECONDS))
  shift
  until "$@"; do
    guest_alive || die "the guest ended while waiting for $what"
    ((SECONDS < limit)) || die "no $what within $BOOT_SECONDS s"
    sleep 0.25
  done
}

http_ready() {
  curl -sf --noproxy '*' --max-time 10 -o /dev/null "http://127.0.0.1:$guest_host_port$guest_ready_path"
}

login_ready() { grep -q 'login: ' "$1"; }

# Waits until the guest does what its specification calls ready.
guest_wait_ready() {
  if ((guest_http_port > 0)); then
    guest_wait "an answer to GET $guest_ready_path" http_ready
  else
    guest_wait 'a login prompt on the serial console' login_ready "$1"
  fi
}

# Presses the power button and waits until the guest has shut down and QEMU is gone.
guest_power_off() {
  qmp '{"execute": "system_powerdown"}'
  guest_wait_end "$STOP_SECONDS"
}

# Waits at most $1 seconds for QEMU to end by itself.
guest_wait_end() {
  local limit=$((SECONDS + $1)) status=0 line guest_shutdown=0
  while ((SECONDS < limit)); do
    if IFS= read -r -t 5 -u "$qmp_from" line; then
      if [[ $line == *'"guest-shutdown"'* ]]; then guest_shutdown=1; fi
    elif ! guest_alive; then
      break
    fi
  done
  guest_alive && die "the guest did not shut down within $1 s"
  wait "$qemu_pid" || status=$?
  exec {qmp_from}<&- {qmp_to}>&-
  ((status == 0)) || die "QEMU ended with status $status"
  ((guest_shutdown == 1)) || die 'QEMU ended without a shutdown of the guest'
}

# Fetches every file of the site over HTTP and compares it with the manifest $1; $2 is a scratch folder.
guest_check_site() {
  local manifest=$1 scratch=$2 path
  mkdir -p "$scratch"
  cut -c67- "$manifest" | while IFS= read -r path; do
    printf 'url = "http://127.0.0.1:%s/%s"\noutput = "%s"\ncreate-dirs\n' "$guest_host_port" "$path" "$path"
  done >"$scratch.urls"
  (cd "$scratch" && curl -sSf --noproxy '*' --max-time 600 --config "$scratch.urls") >>"$build_log" 2>&1
  (cd "$scratch" && sha256sum --quiet --strict -c "$manifest") >>"$build_log" 2>&1
  rm -rf -- "$scratch" "$scratch.urls"
}

# Checks the file system of a powered-off raw disk: clean by its own word and by e2fsck's.
check_filesystem() {
  local disk=$1 at="$1?offset=$((guest_start_sector * 512))"
  e2fsck -fn "$at" >>"$build_log" 2>&1 || die "e2fsck finds faults on $disk"
  dumpe2fs -h "$at" 2>/dev/null >"$disk.header"
  grep -q '^Filesystem state: *clean$' "$disk.header" || die "the file system of $disk is not marked clean"
  if grep -q '^Filesystem features:.*needs_recovery' "$disk.header"; then die "the journal of $disk was not emptied"; fi
  grep -q "^Block size: *$guest_block_bytes\$" "$disk.header" || die "$disk has not blocks of $guest_block_bytes bytes"
  rm -f -- "$disk.header"
}
