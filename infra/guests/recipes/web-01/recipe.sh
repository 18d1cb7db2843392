# shellcheck shell=bash
guest_title='nginx with 64 MiB of user data and an SQLite catalogue, installed independently'
guest_format=qcow2
guest_size_mib=1152
guest_packages=(systemd-sysv udev dbus nginx sqlite3 logrotate)
guest_http_port=80

CATALOGUE_PRODUCTS=10000

recipe_data() {
  make_site "$1$guest_site_dir" web-01 64
  perl "$GUESTS_DIR/lib/userdata.pl" sql web-01 "$CATALOGUE_PRODUCTS" >"$2/catalogue.sql"
}
