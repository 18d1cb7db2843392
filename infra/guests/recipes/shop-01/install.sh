# shellcheck shell=sh
# Runs inside the installed tree: creates both sites and their databases, and fills them.
cd /tmp/guest || exit 1
rm -f /var/www/html/index.nginx-debian.html /etc/nginx/sites-enabled/default
cp site.conf /etc/nginx/sites-available/wordpress
ln -s ../sites-available/wordpress /etc/nginx/sites-enabled/wordpress
cp config-default.php /etc/wordpress/config-default.php
systemctl -q mask phpsessionclean.timer 2>/dev/null || true

install -d -o mysql -g mysql /run/mysqld
# Nobody else sees this database yet: its log may reach the disk later than each row.
mariadbd --user=mysql --skip-networking --socket=/run/mysqld/mysqld.sock \
  --innodb-flush-log-at-trx-commit=0 &
database=$!
tries=0
until mariadb-admin --socket=/run/mysqld/mysqld.sock ping >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 240 ] || { echo 'MariaDB does not start'; exit 1; }
  sleep 0.5
done

mariadb <<'SQL'
CREATE USER 'www-data'@'localhost' IDENTIFIED VIA unix_socket;
CREATE DATABASE wordpress_shop CHARACTER SET utf8mb4;
CREATE DATABASE wordpress_journal CHARACTER SET utf8mb4;
CREATE DATABASE orders CHARACTER SET utf8mb4;
GRANT ALL ON wordpress_shop.* TO 'www-data'@'localhost';
GRANT ALL ON wordpress_journal.* TO 'www-data'@'localhost';
GRANT SELECT ON orders.* TO 'www-data'@'localhost';
SQL
{ echo 'SET autocommit = 0;' && cat orders.sql && echo 'COMMIT;'; } | mariadb orders
setpriv --reuid=www-data --regid=www-data --init-groups php fill.php shop 0 2
setpriv --reuid=www-data --regid=www-data --init-groups php fill.php journal 1 2
mariadb -e 'SELECT count(*) FROM orders.purchase; SELECT count(*) FROM wordpress_shop.wp_posts;'
mariadb-admin shutdown
wait "$database"
rm -rf /run/mysqld
