#!/bin/bash
# Room: io, appliance (tests). A job that either marks a disk, which must be fresh, and waits until somebody writes
# "renewed" into the disk's second sector, or reads a disk to its end.
#
#   fixture-pulse.sh OUT mark LABEL
#   fixture-pulse.sh OUT read LABEL
set -u
disk=/dev/disk/guestfs/$3
if [[ $2 == read ]]; then
  dd if="$disk" of=/dev/null bs=1M iflag=direct
  exit
fi
[[ $(head -c 4 -- "$disk" | tr -d '\0') == '' ]] || exit 3
printf 'mark' | dd of="$disk" bs=512 conv=sync,notrunc oflag=direct status=none
echo 'the disk is marked'
until [[ $(dd if="$disk" bs=512 skip=1 count=1 iflag=direct status=none | tr -d '\0') == renewed ]]; do
  sleep 1
done
