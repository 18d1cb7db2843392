#!/bin/sh
# Serves /var/www/html, with who.txt: what the machine is known by, a line each.
set -eu
site=/var/www/html
keys=''
while [ -z "$keys" ]; do keys=$(ssh-keyscan -T 30 127.0.0.1 2>/dev/null | cut -d' ' -f2- | sort); done
{
  echo "uuid $(cat /sys/class/dmi/id/product_uuid)"
  for card in /sys/class/net/e*; do echo "mac $(cat "$card/address")"; done
  echo "machine-id $(cat /etc/machine-id)"
  echo "dbus-id $(cat /var/lib/dbus/machine-id)"
  echo "hostname $(hostname)"
  echo "address $(getent hosts "$(hostname)")"
  echo "$keys" | sed 's/^/served /'
  for key in /etc/ssh/ssh_host_*_key; do echo "key $(ssh-keygen -y -f "$key" | cut -d' ' -f1,2)"; done
} >"$site/who.new"
mv "$site/who.new" "$site/who.txt"
exec busybox httpd -f -p 80 -h "$site"
