# shellcheck shell=bash
guest_title='a server for SSH that says on its web page who it is (tests)'
guest_packages=(systemd-sysv udev dbus openssh-server busybox-static)
guest_http_port=80

recipe_data() {
  make_site "$1$guest_site_dir" who-01 1
  cp -- "$RECIPES_DIR/who-01/who.sh" "$2/"
}

# Its page is made at each boot, when the server for SSH answers.
recipe_check() {
  curl -fsS --max-time 60 --retry 60 --retry-delay 2 --retry-all-errors \
    "http://127.0.0.1:$guest_host_port/who.txt" | grep -q '^served ssh-ed25519 ' || die 'it does not say who it is'
}
