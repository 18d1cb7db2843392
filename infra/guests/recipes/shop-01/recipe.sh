# shellcheck shell=bash
guest_title='nginx, MariaDB, PHP and WordPress with two sites and 32 MiB of user data (benchmarks)'
guest_size_mib=2048
guest_memory_mib=1024
guest_packages=(systemd-sysv udev dbus nginx mariadb-server php php-fpm php-mysql php-xml php-mbstring
  wordpress wordpress-theme-twentytwentythree logrotate)
guest_http_port=80
# Answered by PHP after a look into the database.
guest_ready_path=/wp-login.php

shop_data() {
  make_site "$1$guest_site_dir" shop-01 32
  # What the sites' databases are filled with: texts of posts and comments, rows of orders.
  perl "$GUESTS_DIR/lib/userdata.pl" files shop-01-posts 16 "$2/texts" 100
  perl "$GUESTS_DIR/lib/userdata.pl" sql shop-01-orders 20000 | grep -v '^PRAGMA' >"$2/orders.sql"
  cp -- "$RECIPES_DIR/shop-01"/{site.conf,config-default.php,fill.php} "$2/"
}

recipe_data() { shop_data "$1" "$2"; }

# Asks both sites for a post that comes out of their databases.
recipe_check() {
  local site page
  for site in shop journal; do
    page=$(curl -sSf --noproxy '*' --max-time 300 -H "Host: $site.example" "http://127.0.0.1:$guest_host_port/?p=4")
    [[ $page == *"<title>Post 1 of $site"* ]] || die "the site $site does not show its first post"
  done
}
