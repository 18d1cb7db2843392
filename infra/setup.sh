#!/usr/bin/env bash
# Room: infra. Installs the Debian packages that VMDN needs and this machine lacks.
#
# I1  What is installed already is left alone; `apt-get update` runs only when something is missing.
# I2  It says for each missing package what it is for, before it installs anything.
# I3  `--check` changes nothing; exit 1 and the list when something is missing.
# I4  A tool that comes with a service of its own is kept from starting it, unless it was here before.
# I5  It never asks a question: it works without a terminal, as root in a container too.
set -euo pipefail
export LC_ALL=C

# group | package | what for. One row per package; a package that apt pulls in by itself has no row.
PACKAGES='
run|qemu-system-x86|runs the virtual machines
run|qemu-utils|qemu-img and qemu-nbd: creates, compares and exports disks
run|e2fsprogs|debugfs and dumpe2fs inspect a guest file system without mounting it; mke2fs makes one
run|libnbd-bin|nbdcopy, nbdinfo and nbdfuse read an exported disk
run|fuse3|fusermount3, by which an ordinary user unmounts an nbdfuse export
run|util-linux|setpriv, flock and unshare: confine and serialise the processes that VMDN starts
run|gpgv|verifies the signed indexes of package mirrors
run|xz-utils|xz unpacks package indexes, and the payload of Debian and older RPM packages
run|bzip2|unpacks the payload of old Debian and RPM packages
run|curl|the guest builder and the walk-through fetch the guests'"'"' web sites
libvirt|libvirt-daemon|libvirtd and virtlogd, for an edge or an origin that uses libvirt
libvirt|libvirt-daemon-driver-qemu|libvirt'"'"'s driver for QEMU
libvirt|libvirt-clients|virsh, by which VMDN speaks with libvirt
appliance|guestfish|the appliance in which guests on LVM, xfs or btrfs, and RPM databases, are inspected, and functional copies made
appliance|libguestfs-xfs|xfs in that appliance
appliance|rsync|smartSync of a functional copy, in that appliance
appliance|rpm|reads the package database of an RPM guest, in that appliance
appliance|mmdebstrap|makes a Debian system from scratch for a functional copy, in that appliance
appliance|grub-common|grub-mkimage links the boot loader of such a system
appliance|grub-pc-bin|the boot loader of such a system for BIOS
appliance|grub-efi-amd64-bin|the boot loader of such a system for UEFI
appliance|linux-image-cloud-amd64|the kernel of that appliance; supermin takes it from this machine
guests|mmdebstrap|installs a guest from the Debian archives that this machine uses itself
guests|debian-archive-keyring|the keys by which apt verifies those archives
guests|grub-pc-bin|boot sector and modules of the boot loader that each guest disk carries
guests|grub-common|grub-mkimage links the boot loader for one guest disk
guests|fdisk|sfdisk writes the partition table of a guest disk
guests|uidmap|newuidmap: an ordinary user builds guests without root
guests|openssl|the seeded key stream from which user data is made
guests|zstd|unpacks .deb and initial RAM disks that are compressed so
bench|casync|what VMDN is measured against: content-defined chunks
bench|rsync|what VMDN is measured against: rolling checksums over images and trees
bench|xdelta3|what VMDN is measured against: binary deltas
bench|zstd|what VMDN is measured against: the compressed whole disk
bench|openssl|what the hashing of a disk is measured against
bench|nbdkit|what the NBD server is measured against, beside qemu-nbd
bench|iproute2|network namespaces whose interfaces meter every method alike
dev|ovmf|UEFI firmware, by which a test starts a guest of libvirt
dev|gnupg|signs the small repositories that tests of package mirrors make
dev|openssh-client|ssh-keygen reads the host keys that a test had made anew
dev|shellcheck|checks the shell scripts of this repository
dev|ansible-core|ansible-playbook checks the playbooks that vmdn describe writes
dev|puppet-agent|puppet checks the manifests that vmdn describe writes, and its ruby the Vagrantfiles
dev|cloud-init|checks the user data that vmdn describe writes
dev|libvirt-clients|virt-xml-validate checks the definitions that exports for KVM and Xen have
dev|libxml2-utils|xmllint, which that needs, and which reads the OVF envelopes of exports
'
# package | file | what it links to, empty for an empty file. Made before the package is installed: its service
# is masked (systemctl(1)), or cloud-init is told to let this machine alone (its documentation: "how to disable").
SERVICES_KEPT_OFF='
puppet-agent|/etc/systemd/system/puppet.service|/dev/null
cloud-init|/etc/cloud/cloud-init.disabled|
'
ALL_GROUPS=(run appliance libvirt guests bench dev)
DEFAULT_GROUPS=(run guests)

usage() {
  cat <<'USAGE'
Usage: infra/setup.sh [--check] [--with-bench] [--list] [GROUP...]

Installs the Debian packages that VMDN needs and this machine lacks.

  GROUP         run        what coordinator, origin and edges need
                appliance  what origins and edges need for unusual guests and functional copies (some 500 MB)
                libvirt    what edges and origins need that use libvirt, without a libvirt service of the system
                guests     what infra/guests/build.sh needs
                bench      what the benchmarks compare VMDN with
                dev        what changing VMDN needs
                (default: run guests)
  --with-bench  the chosen groups, and bench
  --check       install nothing; exit 1 with a list when something is missing
  --list        show every package, its group and what it is for
  --help        this text
USAGE
}

die() {
  printf 'setup.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

contains() {
  local wanted=$1 each
  shift
  for each in "$@"; do [[ $each == "$wanted" ]] && return 0; done
  return 1
}

is_installed() {
  local states
  states=$(dpkg-query -W -f='${db:Status-Status}\n' -- "$1" 2>/dev/null) || return 1
  grep -qx installed <<<"$states"
}

# Prints the rows of the chosen groups, each package once.
rows_of() {
  local group package reason seen=' '
  while IFS='|' read -r group package reason; do
    if [[ -z $group || $seen == *" $package "* ]] || ! contains "$group" "$@"; then continue; fi
    seen+="$package "
    printf '%s|%s|%s\n' "$group" "$package" "$reason"
  done <<<"$PACKAGES"
}

require_debian() {
  local id_like=''
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && id_like=$(. /etc/os-release && printf ' %s %s ' "${ID:-}" "${ID_LIKE:-}")
  if [[ $id_like != *' debian '* ]] || ! command -v dpkg-query >/dev/null; then
    die "this is not a Debian system, and only Debian's package names are known here.
Install these yourself, by whatever names your system has for them:
$(rows_of "$@" | awk -F'|' '{ printf "  %-24s %s\n", $2, $3 }')" 3
  fi
}

# Before the packages are installed that are named.
keep_services_off() {
  local package file target
  while IFS='|' read -r package file target; do
    if [[ -z $package || -e $file || -L $file ]] || ! contains "$package" "$@"; then continue; fi
    install -d -m 0755 -- "$(dirname -- "$file")"
    if [[ -n $target ]]; then ln -s -- "$target" "$file"; else : >"$file"; fi
    echo "The service of $package stays off by $file; remove that file to use it."
  done <<<"$SERVICES_KEPT_OFF"
}

install_packages() {
  local -a packages=("$@")
  local hint="apt-get install --no-install-recommends ${packages[*]}"
  command -v apt-get >/dev/null || die "there is no apt-get here. Install what is missing by hand." 3
  if ((EUID != 0)); then
    die "installing needs root, and this is user $(id -un). Run one of these and start again:
  sudo infra/setup.sh ${groups[*]}
  sudo $hint" 2
  fi
  export DEBIAN_FRONTEND=noninteractive
  local -a apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  echo 'Reading the package lists (apt-get update) ...'
  keep_services_off "${packages[@]}"
  # A broken third-party source must not stop us: what counts is whether the install below succeeds.
  "${apt[@]}" update </dev/null || echo 'setup.sh: apt-get update reported errors; going on with the lists there are.' >&2
  "${apt[@]}" -y -o Dpkg::Options::=--force-confold install --no-install-recommends -- "${packages[@]}" </dev/null ||
    die "apt-get could not install everything. Its own message stands above; this is the command to repeat:
  $hint"
}

check_only=0
groups=()
while (($#)); do
  case $1 in
    --check) check_only=1 ;;
    --with-bench) groups+=(bench) with_bench=1 ;;
    --list)
      rows_of "${ALL_GROUPS[@]}" | awk -F'|' '{ printf "%-9s %-24s %s\n", $1, $2, $3 }'
      exit 0
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) die "unknown option $1; see infra/setup.sh --help" 64 ;;
    *)
      contains "$1" "${ALL_GROUPS[@]}" || die "unknown group $1; there are: ${ALL_GROUPS[*]}" 64
      groups+=("$1")
      named=1
      ;;
  esac
  shift
done
if [[ -z ${named:-} ]]; then groups=("${DEFAULT_GROUPS[@]}" ${with_bench:+bench}); fi

require_debian "${groups[@]}"
missing=()
report=''
while IFS='|' read -r group package reason; do
  is_installed "$package" && continue
  missing+=("$package")
  report+=$(printf '  %-24s %-9s %s' "$package" "$group" "$reason")$'\n'
done < <(rows_of "${groups[@]}")

if ((${#missing[@]} == 0)); then
  echo "Every Debian package that VMDN needs is installed (${groups[*]})."
  exit 0
fi
printf 'Missing (package, group, what for):\n%s' "$report"
if ((check_only)); then
  echo 'Nothing was changed. To install them: infra/setup.sh '"${groups[*]}"
  exit 1
fi
install_packages "${missing[@]}"
for package in "${missing[@]}"; do
  is_installed "$package" || die "apt-get said it is done, but $package is not installed."
done
echo "Installed: ${missing[*]}"
