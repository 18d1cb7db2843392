#!/bin/sh
# Reads four blocks past the cache, writes four through it, again and again. A line of loop/turns says when a turn
# ended, and what its reading and its writing took: `UPTIME READ WRITE`, in seconds. dd times its own input and
# output, so that starting it does not count.
turns=/srv/www/loop/turns
mount -t tmpfs -o size=16m none /srv/www/loop
seconds_of() {
  sed -n 's/.* copied, \([0-9.]*\) seconds.*/\1/p'
}
place=0
while :; do
  place=$(((place + 4) % 8192))
  read_seconds=$(dd if=/dev/vda of=/dev/null bs=4k count=4 skip=$place iflag=direct 2>&1 | seconds_of)
  write_seconds=$(dd if=/dev/zero of=/srv/turn bs=4k count=4 conv=notrunc,fsync oflag=direct 2>&1 | seconds_of)
  read -r uptime _ </proc/uptime
  echo "$uptime $read_seconds $write_seconds" >>"$turns"
done
