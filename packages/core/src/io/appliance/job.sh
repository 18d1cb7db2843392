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
  local number=0
  while :; do
    ((number += 1))
    { printf '%s\n' "$number" && tail -c 3000 -- "$out/log"; } 2>/dev/null |
      dd of=/dev/disk/guestfs/pulse bs=4096 count=1 iflag=fullblock oflag=direct conv=sync,notrunc
    sleep 5
  done
}
beat >/dev/null 2>&1 </dev/null &
beating=$!

bash "$job/$script" "$out" "$@" >"$out/log" 2>&1 </dev/null
printf '%s' "$?" >"$out/exit"
# The last words are what counts.
tail -c 262144 "$out/log" >"$out/log.tail" && mv "$out/log.tail" "$out/log"
tar -C "$out" -cf /dev/disk/guestfs/result . && sync
kill "$beating"
