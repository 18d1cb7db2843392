# shellcheck shell=sh
# Runs inside the installed tree.
rm -f /var/www/html/index.nginx-debian.html
sqlite3 /var/www/html/catalogue.sqlite </tmp/guest/catalogue.sql
chown www-data:www-data /var/www/html/catalogue.sqlite
sqlite3 /var/www/html/catalogue.sqlite 'PRAGMA integrity_check; SELECT count(*) FROM purchase;'
