# shellcheck shell=bash
# shellcheck disable=SC2154 # variables are shared with functional.sh
# Room: io, appliance. Sourced by functional.sh: packages of the RPM family, by the guest's own rpm.
#
# I1  rpm itself and no solver above it: the set is exactly the source's, and every relative has rpm, whatever stands
#     above it (dnf, yum, microdnf, zypper).
# I2  A script of a package that fails is a failure, also where rpm only warns of it.
# I3  What is extra goes first, whoever needs it: what the source has fits together, and may conflict with that.
#
# Packages lie at $packages, in the tree at /run/vmdn. The host has verified them against a signed index.

install_rpm() {
  local -a install=() remove=()
  mapfile -t remove <"$job/remove"
  mapfile -t install < <(sed 's,^,/run/vmdn/,' "$job/install")
  if ((${#remove[@]})); then
    in_tree /usr/bin/rpm -e --nodeps --allmatches -- "${remove[@]}"
    require_rpm "$?"
  fi
  if ((${#install[@]})); then
    in_tree /usr/bin/rpm -U --oldpackage --nosignature -- "${install[@]}"
    require_rpm "$?"
  fi
  relabel_later
}

require_rpm() {
  local status=$1
  if ((status == 0)) && grep -q 'scriptlet failed' "$out/log"; then status=1; fi
  require_installed "$status" 'scriptlet failed|^error:|^\s.*(is needed by|conflicts with)|already installed'
}

# The appliance knows no SELinux, so what rpm wrote has no labels: the guest gives them at its next boot.
relabel_later() {
  if grep -Eqs '^SELINUX=(enforcing|permissive)' "$source/etc/selinux/config"; then : >"$target/.autorelabel"; fi
}

# What rpm has installed: name, version, architecture.
list_rpm() {
  in_tree /usr/bin/rpm -qa --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\n' | sed 's/\t0:/\t/'
}
