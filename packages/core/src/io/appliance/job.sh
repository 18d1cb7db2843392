#!/bin/bash
# Room: io, appliance. Runs a job inside the appliance and writes what it left in OUT to the result disk,
# as a tar archive, whatever became of the job.
#
#   job.sh SCRIPT ARGUMENT...
#
# The script is called with OUT before its own arguments. Its exit code stands in `exit`, its words in `log`. Until all
# is written the disk `pulse` gets a number and the last words every 5 s (pulse.ts).
set -u
export LC_ALL=C
job=/var/tmp/vmdn-job
out=/var/tmp/vmdn-out
mkdir -p "$out"
script=$1
shift

# Past the page cache: what waits for a slow disk there would hold this up too.
beat() {
  { printf '%s\n' "$1" && tail -c 3000 -- "$out/log"; } 2>/dev/null |
    dd of=/dev/disk/guestfs/pulse bs=4096 count=1 iflag=fullblock oflag=direct conv=sync,notrunc
}
go_on_beating() {
  local number=1
  while sleep 5; do beat "$((number += 1))"; done
}
# Before the job writes anything.
beat 1 >/dev/null 2>&1
go_on_beating >/dev/null 2>&1 </dev/null &
beating=$!

bash "$job/$script" "$out" "$@" >"$out/log" 2>&1 </dev/null
printf '%s' "$?" >"$out/exit"
# The last words are what counts.
tail -c 262144 "$out/log" >"$out/log.tail" && mv "$out/log.tail" "$out/log"
tar -C "$out" -cf /dev/disk/guestfs/result . && sync
status=$?
kill "$beating"
exit "$status"
