# shellcheck shell=bash
guest_title='Debian 12 with systemd, a serial console and DHCP: what an operator would seed'
guest_packages=(systemd-sysv udev dbus)
