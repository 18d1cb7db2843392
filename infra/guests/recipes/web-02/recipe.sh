# shellcheck shell=bash
guest_title='a clone of debian-12-base whose own apt installed nginx, with 8 MiB of data of its own'
guest_parent=debian-12-base
guest_packages=(nginx logrotate less)
guest_http_port=80

recipe_data() {
  make_site "$1$guest_site_dir" web-02 8
}
