#!/bin/bash
# Room: io, appliance. Runs a job inside the appliance and writes what it left in OUT to the result disk,
# as a tar archive, whatever became of the job.
#
#   job.sh SCRIPT ARGUMENT...
#
# The script is called with OUT before its own arguments. Its exit code stands in `exit`, its words in `log`.
set -u
export LC_ALL=C
job=/var/tmp/vmdn-job
out=/var/tmp/vmdn-out
mkdir -p "$out"
script=$1
shift
bash "$job/$script" "$out" "$@" >"$out/log" 2>&1 </dev/null
printf '%s' "$?" >"$out/exit"
# The last words are what counts.
tail -c 262144 "$out/log" >"$out/log.tail" && mv "$out/log.tail" "$out/log"
tar -C "$out" -cf /dev/disk/guestfs/result . && sync
