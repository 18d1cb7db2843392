#!/bin/sh
# Reads four blocks past the cache, writes four through it, again and again. A line of loop/turns says when a turn
# ended, in seconds since the guest's start, and what its reading and its writing took, in hundredths of a second:
# `UPTIME READ WRITE`. That is as fine as /proc/uptime is; starting dd counts.
turns=/srv/www/loop/turns
mount -t tmpfs -o size=16m none /srv/www/loop
now() {
  read -r uptime _ </proc/uptime
  hundredths=${uptime%.*}${uptime#*.}
}
place=0
while :; do
  place=$(((place + 4) % 8192))
  now
  before=$hundredths
  dd if=/dev/vda of=/dev/null bs=4k count=4 skip=$place iflag=direct 2>/dev/null || exit
  now
  between=$hundredths
  dd if=/dev/zero of=/srv/turn bs=4k count=4 conv=notrunc,fsync oflag=direct 2>/dev/null || exit
  now
  echo "$uptime $((between - before)) $((hundredths - between))" >>"$turns"
done
