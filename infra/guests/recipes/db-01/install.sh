# shellcheck shell=sh
# Runs inside the installed tree: fills both servers, and leaves their files as a crash would: the journal of each
# has to be read first by whoever starts it. The guest's own boot, which the builder sees, starts neither: they start
# when somebody asks by HTTP what is in them.
cd /tmp/guest || exit 1

install -d -m 1777 /tmp/sockets
mariadbd --user=mysql --skip-networking --socket=/tmp/sockets/mysql --pid-file=/tmp/sockets/pid \
  --innodb-flush-log-at-trx-commit=1 &
database=$!
tries=0
until mariadb-admin --socket=/tmp/sockets/mysql ping >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 240 ] || { echo 'MariaDB does not start'; exit 1; }
  sleep 0.5
done
mariadb --socket=/tmp/sockets/mysql <mariadb.sql
kill -9 "$database"
wait "$database" || true

as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
programs=$(echo /usr/lib/postgresql/*/bin)
data=$(echo /var/lib/postgresql/*/main)
configuration=$(echo /etc/postgresql/*/main/postgresql.conf)
as_postgres "$programs/pg_ctl" -s -w -D "$data" -l /tmp/sockets/log start -o "-c config_file=$configuration \
  -c listen_addresses= -c unix_socket_directories=/tmp/sockets -c external_pid_file= -c ssl=off \
  -c dynamic_shared_memory_type=mmap" || { cat /tmp/sockets/log; exit 1; }
as_postgres psql -X -q -v ON_ERROR_STOP=1 -h /tmp/sockets <postgresql.sql || exit 1
as_postgres "$programs/pg_ctl" -s -D "$data" -m immediate stop
rm -rf /tmp/sockets
systemctl -q disable mariadb.service postgresql.service

# What is in them, found out once, however many ask and how often: under emulation each program counts.
cat >/usr/local/sbin/find-answers <<'FIND'
#!/bin/sh
set -eu
as_clerk() { mariadb --no-defaults -BN --user=clerk --password='not a secret' -e "$1"; }
as_shop() { PGPASSWORD='not a secret' psql -X -A -t -h 127.0.0.1 -U shop -d orders -c "$1"; }
purchases=$(mariadb -BN -e 'SELECT count(*) FROM orders.purchase')
products=$(mariadb -BN -e 'SELECT md5(group_concat(name ORDER BY id)) FROM orders.product')
for_clerk=$(as_clerk 'SET ROLE readers; SELECT count(*) FROM orders.product')
for_shop=$(as_shop "SELECT md5(string_agg(what, ',' ORDER BY id)) FROM purchase")
{
  printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n'
  printf 'mariadb purchases: %s\nmariadb products: %s\n' "$purchases" "$products"
  printf 'mariadb products for clerk: %s\npostgresql purchases for shop: %s\n' "$for_clerk" "$for_shop"
} >/run/answers
FIND
# Up to the empty line: what a socket has not given out when it closes takes the answer with it.
cat >/usr/local/sbin/answer <<'ANSWER'
#!/bin/sh
while IFS= read -r line && [ "${#line}" -gt 1 ]; do :; done
exec cat /run/answers
ANSWER
chmod 755 /usr/local/sbin/answer /usr/local/sbin/find-answers
cat >/etc/systemd/system/answers.socket <<'SOCKET'
[Socket]
ListenStream=80
Accept=yes
[Install]
WantedBy=sockets.target
SOCKET
cat >/etc/systemd/system/answers@.service <<'SERVICE'
[Unit]
Requires=find-answers.service
After=find-answers.service
[Service]
ExecStart=/usr/local/sbin/answer
StandardInput=socket
SERVICE
cat >/etc/systemd/system/find-answers.service <<'SERVICE'
[Unit]
Requires=mariadb.service postgresql.service
After=mariadb.service postgresql.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/find-answers
TimeoutStartSec=infinity
SERVICE
systemctl -q enable answers.socket
