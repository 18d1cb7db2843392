# shellcheck shell=sh
# Runs inside the installed tree: fills both servers, and leaves their files as a crash would: the journal of each
# has to be read first by whoever starts it. The guest's own boot, which the builder sees, starts neither.
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
