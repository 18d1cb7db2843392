#!/bin/sh
# Room: infra/guests. Runs inside a cloned guest, once, as root: gives it a name of its own, installs
# packages with its own apt, puts its data in place. Its folder holds `settings`, `files/` (laid over
# /) and, where the recipe has one, `install.sh`.
set -eu
cd /run/vmdn-guest
exec >/dev/ttyS0 2>&1
# shellcheck source=/dev/null
. ./settings
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

echo "$guest_name" >/etc/hostname
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n' "$guest_name" >/etc/hosts
# A clone is a machine of its own.
rm -f /etc/machine-id
systemd-machine-id-setup

systemctl start systemd-networkd.service
/lib/systemd/systemd-networkd-wait-online --any --timeout=60

# An archive reached by https is asked for by http: the relay on the other side knows better.
mkdir sources
sed 's#https://#http://#' /etc/apt/sources.list.d/debian.sources >sources/debian.sources
apt() {
  # gzip, a package cache kept between the two calls, and no fsync per file: an emulated processor
  # is slow, and all is synced below.
  # shellcheck disable=SC2086 # the options are words without blanks
  apt-get -q -o Acquire::http::Proxy="$proxy" -o Acquire::http::Pipeline-Depth=0 -o APT::Sandbox::User=root \
    -o Acquire::CompressionTypes::Order::=gz -o Dir::Cache::pkgcache=pkgcache.bin \
    -o Dir::Cache::srcpkgcache=srcpkgcache.bin -o Dpkg::Options::=--force-unsafe-io \
    -o Dir::Etc::SourceParts="$PWD/sources" $apt_options "$@" </dev/null
}
apt update
# shellcheck disable=SC2086
apt install -y --no-install-recommends $packages
apt clean
rm -rf /var/lib/apt/lists/*

cp -a files/. /
if [ -f install.sh ]; then sh -eu ./install.sh; fi
sync
# As the image builders of the clouds do: free blocks carry nothing.
fstrim /
echo "$mark"
