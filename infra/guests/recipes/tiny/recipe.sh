# shellcheck shell=bash
# An appliance: Debian's kernel and BusyBox, laid out so that it matches next to nothing.
guest_title='an appliance of BusyBox with 1 KiB blocks on a partition at sector 63: matches badly'
guest_size_mib=96
guest_start_sector=63
guest_block_bytes=1024
guest_packages=(busybox-static udev)
guest_tree=/appliance
guest_memory_mib=256
guest_http_port=80
guest_site_dir=/srv/www

recipe_data() {
  make_site "$1$guest_site_dir" tiny 4
}
