#!/bin/sh
# Appends to a file for ever, durably. A line of it counts.
count=0
while :; do
  count=$((count + 1))
  echo "$count" >>/srv/appended
  sync
done
