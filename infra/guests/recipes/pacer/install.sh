# shellcheck shell=sh
# Runs inside the installed tree: tiny's appliance, and the loop.
sh -eu /tmp/guest/tiny.sh
cp /tmp/guest/loop.sh /appliance/bin/loop
chmod 755 /appliance/bin/loop
echo '::respawn:/bin/loop' >>/appliance/etc/inittab
