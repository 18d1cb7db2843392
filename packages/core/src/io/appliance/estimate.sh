#!/bin/bash
# Room: io, appliance. Runs inside the appliance: the dry runs by which pickCandidate of the 2015 report chooses, for
# each candidate the two runs of smartSync with nothing written.
#
#   estimate.sh OUT JOB CANDIDATE... -- SOURCE...
#
# JOB is the folder with the lists `first` and `second` of what the runs leave out; the others are labels of disks, one
# for each candidate. OUT gets: rsync-LABEL (statistics of both runs), failure (words for the operator).
set -u
export LC_ALL=C
out=$1
job=$2
shift 2
source=/source
target=/sysroot
# shellcheck source-path=SCRIPTDIR source=mount-guest.sh
source "$(dirname "$0")/mount-guest.sh"

EXIT_SOURCE=10
SECONDS_MAX=1800

problems=''
remark() { problems+="${problems:+; }$*"; }

candidates=()
while [[ $1 != -- ]]; do candidates+=("$1") && shift; done
shift
use_disks "$@"
if ! find_root || ! mount_guest "$source" ro || [[ -n $problems ]]; then
  printf 'not all of the source could be mounted (%.500s)' "$problems" >"$out/failure"
  exit "$EXIT_SOURCE"
fi
for label in "${candidates[@]}"; do
  use_disks "$label"
  if find_root && mount_guest "$target" ro; then
    dry=(timeout "$SECONDS_MAX" rsync -aAXn --numeric-ids --stats)
    "${dry[@]}" --delete --exclude-from="$job/first" -- "$source/" "$target/" >"$out/first-$label" &&
      "${dry[@]}" --ignore-existing --exclude-from="$job/second" -- "$source/" "$target/" >"$out/second-$label"
  fi
  umount -R "$target"
done
exit 0
