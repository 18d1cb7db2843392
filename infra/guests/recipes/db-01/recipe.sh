# shellcheck shell=bash
guest_title='MariaDB and PostgreSQL with rows, users and grants of every kind, nothing else (tests)'
guest_size_mib=1536
guest_memory_mib=768
guest_packages=(systemd-sysv udev dbus mariadb-server postgresql)

recipe_data() { cp -- "$RECIPES_DIR/db-01"/*.sql "$2/"; }
