# shellcheck shell=bash
# A guest of the RPM family, made of Debian's files: its packages are real RPM packages, its database is rpm's.
guest_title='an RPM guest: packages converted from Debian, in an RPM database; serves nothing'
guest_size_mib=160
guest_packages=(busybox-static udev rpm createrepo-c ed less)
guest_tree=/appliance
guest_memory_mib=256
guest_install=rpm-base

# What install.sh puts into the guest, beside what each of them has.
recipe_data() {
  printf '%s\n' ed web-tools-1.0 >"$2/more"
}
