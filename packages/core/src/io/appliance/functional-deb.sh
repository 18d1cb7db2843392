# shellcheck shell=bash
# shellcheck disable=SC2154 # variables are shared with functional.sh
# Room: io, appliance. Sourced by functional.sh: packages of Debian and its relatives, by the guest's own apt and dpkg.
#
# I1  What is missing is installed and what is extra removed in one transaction.
# I2  No service starts.
#
# Packages lie at $packages, in the tree at /run/vmdn.

install_deb() {
  local -a install=() remove=()
  local policy=$target/usr/sbin/policy-rc.d status
  mapfile -t remove < <(sed 's/$/-/' "$job/remove")
  mapfile -t install < <(sed 's,^,/run/vmdn/,' "$job/install")
  forbid_services
  # Nothing can be downloaded here; told so, apt takes no local files either (apt 2.6).
  in_tree apt-get -q -y --allow-downgrades --allow-change-held-packages \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o DPkg::Options::=--force-unsafe-io \
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 \
    -o APT::Get::AutomaticRemove=false install "${install[@]}" "${remove[@]}"
  status=$?
  allow_services
  require_installed "$status" '^(E:|dpkg:|Err|.*error)'
}

# invoke-rc.d asks it whether a service may start; 101 is no (Debian policy 9.3.3.1).
forbid_services() {
  [[ -e $policy ]] && mv -- "$policy" "$policy.vmdn"
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

allow_services() {
  rm -f -- "$policy"
  [[ -e $policy.vmdn ]] && mv -- "$policy.vmdn" "$policy"
}

# What dpkg has installed: name, version, architecture.
list_deb() {
  # The format's fields are dpkg's, not the shell's.
  # shellcheck disable=SC2016
  in_tree dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n' | sed -n 's/^installed\t//p'
}
