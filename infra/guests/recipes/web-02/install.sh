# shellcheck shell=sh
# Runs inside the running guest, after the packages and files are there.
rm -f /var/www/html/index.nginx-debian.html
chown -R www-data:www-data /var/www/html
