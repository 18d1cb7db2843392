# shellcheck shell=bash
# Room: io, appliance. Sourced by functional.sh inside the appliance: brings a guest's databases over by dump and
# restore. The source's own server dumps, the clone's own server restores into a fresh data directory, both at once
# through a pipe, so that a dump takes no room anywhere.
#
# I1  The source's server writes to a throw-away overlay of the disk alone, and there only below its data directory.
# I2  Servers run with the user of their data, in a tree that is read-only but for that directory, without a network
#     and with a PID namespace of their own; they listen on a socket of a file system in memory, and nowhere else.
# I3  A database counts when every table of it has as many rows and the same sum of their hashes on both sides, and
#     users and grants are the same; else the job fails.
# I4  No server outlives its database's turn.
#
# Whoever sources it defines `fail CODE WORDS`, out, job, source, target, EXIT_ROOM and EXIT_DATABASES.

: "${out:?}" "${job:?}" "${source:?}" "${target:?}"

SERVER_SECONDS=900
DUMP_SECONDS=7200
QUESTION_SECONDS=60
BUFFER_MIB=64
SOCKETS=/run/vmdn
views=/var/tmp/vmdn-views
servers=()

# Ends the job with words and the last errors that the server of $1 and its tools spoke of.
fail_database() {
  local side=$1 words=$2 code=$EXIT_DATABASES said
  # What they hold is thrown away.
  stop_servers 0
  said=$(cat -- "$out/$side-server" "$out/$side-tools" 2>/dev/null)
  if [[ $side == target ]] && grep -qE 'No space left|is full|Disk full|failed with error 28$' <<<"$said"; then code=$EXIT_ROOM; fi
  said=$(grep -aE 'ERROR|FATAL|PANIC|DETAIL|[Ee]rror[ :]|No space' <<<"$said" | tail -n 4 | tr '\n' ' ')
  fail "$code" "$words${said:+: $said}"
}

# A tree for a server: of the guest at $2, read-only but for the data directory $3, with what a program needs.
open_view() {
  local view=$views/$1 tree=$2 data=$3 name
  mkdir -p "$view"
  mount --rbind -- "$tree" "$view" && mount --make-rslave -- "$view" &&
    mount -o remount,bind,ro -- "$view" &&
    mount --bind -- "$tree$data" "$view$data" && mount -o remount,bind,rw -- "$view$data" || return
  for name in run tmp var/tmp dev; do
    [[ -d $view/$name && ! -L $view/$name ]] || continue
    mount -t tmpfs -o nosuid,mode=1777,size=256m tmpfs "$view/$name" || return
  done
  mount -t proc -o nosuid,nodev,noexec proc "$view/proc" || return
  mknod -m 666 "$view/dev/null" c 1 3
  mknod -m 666 "$view/dev/zero" c 1 5
  mknod -m 666 "$view/dev/random" c 1 8
  mknod -m 666 "$view/dev/urandom" c 1 9
  mkdir -m 1777 "$view/dev/shm" "$view$SOCKETS"
  ln -s /proc/self/fd "$view/dev/fd"
}

close_view() {
  umount -R -- "$views/$1" 2>/dev/null || umount -R -l -- "$views/$1" 2>/dev/null || true
}

# Runs a program of the tree of $1 (source, target) as the owner of its data.
in_view() {
  local view=$views/$1
  shift
  timeout --kill-after=30 "$DUMP_SECONDS" unshare --net --ipc --uts \
    chroot --userspec="$owner" --groups= "$view" \
    /usr/bin/env -i PATH="$server_path" LC_ALL=C HOME=/tmp PGOPTIONS="$PG_SETTINGS" "$@"
}

# Starts the server of $1 in the background; the rest is its command. Its words go to OUT.
start_server() {
  local side=$1
  shift
  unshare --pid --fork --net --ipc --uts \
    chroot --userspec="$owner" --groups= "$views/$side" \
    /usr/bin/env -i PATH="$server_path" LC_ALL=C HOME=/tmp "$@" \
    >"$out/$side-server" 2>&1 </dev/null &
  servers+=("$!")
}

# Waits until the server of $1 answers a question: the rest is the question.
await_server() {
  local side=$1 pid=${servers[-1]} until=$((SECONDS + SERVER_SECONDS))
  shift
  until DUMP_SECONDS=$QUESTION_SECONDS in_view "$side" "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || return 1
    ((SECONDS < until)) || return 1
    sleep 0.5
  done
}

# Asks every server to end, and makes sure of it after $1 seconds (I4).
stop_servers() {
  local pid child until
  for pid in "${servers[@]}"; do
    # The server is the first process of its namespace, the only child of this one; with it all others end.
    child=''
    read -r child _ 2>/dev/null <"/proc/$pid/task/$pid/children"
    if [[ $child ]]; then kill -s "$stop_signal" "$child" 2>/dev/null; fi
    until=$((SECONDS + $1))
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < until)); do sleep 0.2; done
    # It changed its user, so it does not end with its parent.
    if kill -0 "$pid" 2>/dev/null; then kill -KILL ${child:+"$child"} "$pid"; fi
    wait "$pid" 2>/dev/null
  done
  servers=()
}

# MariaDB -------------------------------------------------------------------------------------------------------

# Names of MariaDB, and before 10.5 those of MySQL.
mysql_program() {
  local name
  for name in "${@:2}"; do
    if [[ -x $1/usr/bin/$name || -x $1/usr/sbin/$name ]]; then printf '%s' "$name" && return; fi
  done
  return 1
}

# Without grants: the source has passwords that nobody here knows.
open_mariadb() {
  local side=$1 server
  server=$(mysql_program "$views/$side" mariadbd mysqld) || return
  # The guest's own options count, since they say how its files are laid out; not where it listens, what it
  # replicates, and how much memory it takes.
  start_server "$side" "$server" --datadir="$data" --skip-networking --socket="$SOCKETS/db.sock" \
    --pid-file="$SOCKETS/db.pid" --skip-log-error --skip-log-bin --skip-slave-start --general-log=0 \
    --slow-query-log=0 --tmpdir=/tmp --innodb-buffer-pool-size="${BUFFER_MIB}M" \
    --innodb-buffer-pool-load-at-startup=0 --innodb-buffer-pool-dump-at-shutdown=0 --loose-wsrep-on=OFF \
    --max-allowed-packet=1G --skip-grant-tables
  await_server "$side" "$(mysql_program "$views/$side" mariadb-admin mysqladmin)" --no-defaults \
    --socket="$SOCKETS/db.sock" --user=root ping
}

ask_mariadb() {
  in_view "$1" "$(mysql_program "$views/$1" mariadb mysql)" --no-defaults --socket="$SOCKETS/db.sock" \
    --user=root --batch --skip-column-names --default-character-set=utf8mb4 --max-allowed-packet=1G "${@:2}"
}

# Every table of $1 with its rows and a sum of their hashes; then how many views, routines and the like there are.
# What the server keeps of its own, such as statistics, is left out; users and grants are not. CHECKSUM TABLE will
# not do: two servers give equal rows two sums where a table has a generated column and seven that may be null.
measure_mariadb() {
  local side=$1
  # shellcheck disable=SC2016 # backquotes are SQL
  ask_mariadb "$side" --raw -e '
    SET SESSION group_concat_max_len = 4194304;
    SELECT concat("SELECT ", quote(t.name), ", count(*), coalesce(sum(cast(conv(substr(md5(concat_ws(0x2c, ",
      group_concat("quote(cast(`", replace(c.column_name, "`", "``"), "` AS BINARY))"
        ORDER BY c.ordinal_position), ")), 1, 15), 16, 10) AS UNSIGNED)), 0) FROM ", t.name, ";")
    FROM information_schema.columns c JOIN (
      SELECT table_schema, table_name,
        concat("`", replace(table_schema, "`", "``"), "`.`", replace(table_name, "`", "``"), "`") AS name
      FROM information_schema.tables WHERE table_type = "BASE TABLE"
        AND table_schema NOT IN ("information_schema", "performance_schema", "sys")
        AND (table_schema <> "mysql" OR table_name IN ("global_priv", "user", "db", "tables_priv", "columns_priv",
          "procs_priv", "proxies_priv", "roles_mapping", "proc", "event", "servers"))) t
      ON c.table_schema = t.table_schema AND c.table_name = t.table_name
    GROUP BY t.name ORDER BY t.name' >"$out/questions" || return
  { printf "SET time_zone = '+00:00';\n" && cat -- "$out/questions"; } | ask_mariadb "$side" || return
  ask_mariadb "$side" -e "
    SELECT 'views', count(*) FROM information_schema.views WHERE table_schema <> 'sys' UNION ALL
    SELECT 'routines', count(*) FROM information_schema.routines WHERE routine_schema <> 'sys' UNION ALL
    SELECT 'triggers', count(*) FROM information_schema.triggers WHERE trigger_schema <> 'sys' UNION ALL
    SELECT 'sequences', count(*) FROM information_schema.tables WHERE table_type = 'SEQUENCE'"
}

version_mariadb() { ask_mariadb "$1" -e 'SELECT version()'; }

init_mariadb() {
  local install
  install=$(mysql_program "$views/target" mariadb-install-db mysql_install_db) || return
  in_view target "$install" --datadir="$data" --skip-test-db --auth-root-authentication-method=socket \
    --tmpdir=/tmp --innodb-buffer-pool-size="${BUFFER_MIB}M"
}

dump_mariadb() {
  # Routines and events are rows of mysql.proc and mysql.event.
  in_view source "$(mysql_program "$views/source" mariadb-dump mysqldump)" --no-defaults \
    --socket="$SOCKETS/db.sock" --user=root --all-databases --events --single-transaction --hex-blob \
    --default-character-set=utf8mb4 --max-allowed-packet=1G
}

restore_mariadb() {
  { printf 'SET sql_log_bin = 0, unique_checks = 0, foreign_key_checks = 0;\n' && cat; } |
    ask_mariadb target
}

# PostgreSQL ----------------------------------------------------------------------------------------------------

# Text of a row is the same on both sides, whatever roles and databases say.
PG_SETTINGS='-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex'
PG_SUPERUSER=postgres

pg_program() {
  local name
  for name in "/usr/lib/postgresql/$pg_major/bin" "/usr/pgsql-$pg_major/bin" /usr/bin; do
    if [[ -x $views/$1$name/$2 ]]; then printf '%s' "$name/$2" && return; fi
  done
  return 1
}

open_postgresql() {
  local side=$1 server configuration=() more=() cluster
  if ! server=$(pg_program "$side" postgres); then
    printf 'FATAL: there is no server of PostgreSQL %s\n' "$pg_major" >"$out/$side-server"
    return 1
  fi
  # Debian and Ubuntu keep a cluster's configuration in /etc (pg_createcluster(1)).
  cluster=/etc/postgresql/$pg_major/${data##*/}/postgresql.conf
  if [[ -f $views/$side$cluster ]]; then configuration=(-c "config_file=$cluster"); fi
  # Debian's lies in /run, which is empty here; servers from 15 on have none.
  if ((${pg_major%%.*} < 15)); then more=(-c stats_temp_directory=pg_stat_tmp); fi
  printf 'local all all trust\n' >"$views/$side$SOCKETS/hba"
  : >"$views/$side$SOCKETS/ident"
  chmod 644 "$views/$side$SOCKETS/hba" "$views/$side$SOCKETS/ident"
  start_server "$side" "$server" -D "$data" "${configuration[@]}" -c "data_directory=$data" \
    -c listen_addresses= -c "unix_socket_directories=$SOCKETS" -c "hba_file=$SOCKETS/hba" \
    -c "ident_file=$SOCKETS/ident" -c external_pid_file= -c port=5432 -c logging_collector=off \
    -c log_destination=stderr -c "shared_buffers=${BUFFER_MIB}MB" -c huge_pages=off -c archive_mode=off \
    -c autovacuum=off -c ssl=off -c max_connections=20 "${more[@]}"
  await_server "$side" "$(pg_program "$side" psql)" -X -h "$SOCKETS" -U "$PG_SUPERUSER" -d template1 -c 'SELECT 1'
}

ask_postgresql() {
  in_view "$1" "$(pg_program "$1" psql)" -X -q -A -t -F $'\t' -v ON_ERROR_STOP=1 -h "$SOCKETS" -U "$PG_SUPERUSER" \
    -d "${2:-template1}" "${@:3}"
}

version_postgresql() { ask_postgresql "$1" template1 -c 'SHOW server_version'; }

# Rows of roles and memberships, then of every database its grants, and of every table rows and a sum of hashes.
measure_postgresql() {
  local side=$1 name names hash
  hash="coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)"
  printf 'SELECT %s, count(*), %s FROM (SELECT %s FROM pg_authid) t;\n' "'roles'" "$hash" \
    'rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolpassword' \
    >"$out/questions"
  printf 'SELECT %s, count(*), %s FROM (SELECT %s FROM pg_auth_members) t;\n' "'memberships'" "$hash" \
    'roleid::regrole, member::regrole, admin_option' >>"$out/questions"
  ask_postgresql "$side" template1 -f - <"$out/questions" || return
  names=$(ask_postgresql "$side" template1 -c \
    "SELECT datname FROM pg_database WHERE datallowconn AND datname !~ '[\\n\\r]' ORDER BY 1") || return
  while IFS= read -r name; do
    printf 'database %s\n' "$name"
    # shellcheck disable=SC2016 # dollars are SQL
    printf '%s\n' "SELECT 'grants', count(*), $hash FROM (
      SELECT n.nspname, c.relname, c.relacl::text, c.relowner::regrole FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema') t;
      SELECT 'large objects', count(*) FROM pg_largeobject_metadata;
      SELECT 'sequences', count(*), $hash FROM (SELECT schemaname, sequencename, last_value FROM pg_sequences) t;
      SELECT format('SELECT %L, count(*), $(sql_quoted "$hash") FROM ONLY %I.%I t',
        format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      ORDER BY n.nspname, c.relname \\gexec" >"$out/questions"
    ask_postgresql "$side" "$name" -f - <"$out/questions" || return
  done <<<"$names"
}

# For a string within a string of SQL, and within a format().
sql_quoted() {
  local text=${1//\'/\'\'}
  printf '%s' "${text//%/%%}"
}

init_postgresql() {
  local initdb settings encoding collate ctype checksums name options=()
  initdb=$(pg_program target initdb) || return
  settings=$(ask_postgresql source template1 -F ' ' -c "SELECT pg_encoding_to_char(encoding), datcollate,
    datctype, current_setting('data_checksums') FROM pg_database WHERE datname = 'template0'") || return
  read -r encoding collate ctype checksums <<<"$settings"
  if [[ $checksums == on ]]; then options=(--data-checksums); fi
  in_view target "$initdb" -D "$data" -U "$PG_SUPERUSER" -A peer --no-instructions --encoding="$encoding" \
    --lc-collate="$collate" --lc-ctype="$ctype" "${options[@]}" || return
  # Where a cluster's settings lie beside its data: all of them on Fedora, those of ALTER SYSTEM everywhere.
  for name in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do
    rm -f -- "$target$data/$name"
    [[ -f $source$data/$name && ! -L $source$data/$name ]] || continue
    cp -a -- "$source$data/$name" "$target$data/$name"
  done
}

dump_postgresql() {
  # The fresh cluster has its superuser; what else is said of it counts.
  in_view source "$(pg_program source pg_dumpall)" -h "$SOCKETS" -U "$PG_SUPERUSER" -l template1 |
    sed "1,/^\\\\connect/{/^CREATE ROLE $PG_SUPERUSER;\$/d}"
  return "${PIPESTATUS[0]}"
}

restore_postgresql() { ask_postgresql target template1 -o /dev/null -f -; }

# All engines ---------------------------------------------------------------------------------------------------

# Where a data directory is a plain folder of its own, $1 below the source; fails with words otherwise.
check_data() {
  local at=$source$1
  if [[ $(realpath -e -- "$at" 2>/dev/null) != "$at" || ! -d $at ]]; then
    fail "$EXIT_DATABASES" "the data directory $1 is not a folder of the guest, or lies behind a link"
  fi
  at=$target${1%/*}
  if [[ $(realpath -m -- "$at") != "$at" ]]; then
    fail "$EXIT_DATABASES" "the data directory $1 lies behind a link in the clone"
  fi
  at=$source$1
  if [[ $engine == postgresql ]]; then
    pg_major=$(head -c 16 -- "$at/PG_VERSION" 2>/dev/null | tr -d '\n')
    [[ $pg_major =~ ^[0-9]{1,2}(\.[0-9])?$ ]] ||
      fail "$EXIT_DATABASES" "the data directory $1 has no version of PostgreSQL"
    if [[ -n $(find "$at/pg_tblspc" -mindepth 1 -print -quit 2>/dev/null) ]]; then
      fail "$EXIT_DATABASES" "the cluster in $1 has tablespaces outside of its data directory"
    fi
  fi
}

# One database server of the guest: its engine and its data directory.
copy_database() {
  local engine=$1 data=$2 owner stop_signal=TERM server_path pg_major='' mounted versions
  printf '%s in %s\n' "$engine" "$data"
  if [[ $engine == postgresql ]]; then stop_signal=INT; fi
  server_path=/usr/sbin:/usr/bin:/sbin:/bin
  check_data "$data"
  owner=$(stat -c %u:%g -- "$source$data")
  # I1: the disk below is a throw-away overlay.
  mounted=$(findmnt -nro TARGET -T "$source$data")
  mount -o remount,rw -- "$mounted" || fail "$EXIT_DATABASES" "the throw-away copy of $data could not be written"
  rm -rf -- "${target:?}$data"
  mkdir -p -- "$target${data%/*}"
  install -d -m "$(stat -c %a -- "$source$data")" -o "${owner%:*}" -g "${owner#*:}" -- "$target$data" ||
    fail "$EXIT_ROOM" "the clone has no room for $data"
  rm -f -- "$out"/{source,target}-{server,tools}
  if ! open_view source "$source" "$data" || ! open_view target "$target" "$data"; then
    fail "$EXIT_DATABASES" 'a tree for the servers could not be mounted'
  fi
  "open_$engine" source || fail_database source "the $engine server of the guest does not start on $data"
  "init_$engine" >"$out/target-tools" 2>&1 || fail_database target "the clone's $engine can't make a data directory"
  "open_$engine" target || fail_database target "the $engine server of the clone does not start"
  versions=$("version_$engine" source && "version_$engine" target)
  [[ $(sort -u <<<"$versions" | wc -l) == 1 ]] ||
    fail_database target "the servers differ (${versions//$'\n'/, })"
  echo 'both servers are up'
  "dump_$engine" 2>"$out/source-tools" | "restore_$engine" >"$out/target-tools" 2>&1
  local status=("${PIPESTATUS[@]}")
  # Where the restore stops, the dump stops too.
  ((status[1] == 0)) || fail_database target "the dump of $data could not be restored"
  ((status[0] == 0)) || fail_database source "$data could not be dumped"
  echo 'dumped and restored'
  compare_database
  echo 'compared'
  stop_servers "$SERVER_SECONDS"
  close_view source
  close_view target
  mount -o remount,ro -- "$mounted" || true
}

# I3; a line of the report: engine, version, data directory, tables, rows.
compare_database() {
  local lines
  "measure_$engine" source >"$out/measured-source" 2>>"$out/source-tools" ||
    fail_database source "$data could not be read through"
  "measure_$engine" target >"$out/measured-target" 2>>"$out/target-tools" ||
    fail_database target "the restored $data could not be read through"
  if ! cmp -s "$out/measured-source" "$out/measured-target"; then
    lines=$(diff "$out/measured-source" "$out/measured-target" | grep '^[<>]' | head -n 4 | tr '\n\t' '  ')
    fail_database target "what was restored is not what $data had (< source, > clone): $lines"
  fi
  "count_$engine" <"$out/measured-source" >"$out/counted"
  printf '%s\t%s\t%s\t%s\n' "$engine" "$("version_$engine" source)" "$data" "$(<"$out/counted")" \
    >>"$out/databases"
}

# Tables and rows of what was measured.
count_mariadb() { gawk -F '\t' '/^`/ && !/^`mysql`/ {tables++; rows += $2} END {printf "%d\t%.0f", tables, rows}'; }
count_postgresql() { gawk -F '\t' 'NF == 3 && $1 ~ /\./ {tables++; rows += $2} END {printf "%d\t%.0f", tables, rows}'; }

# All that JOB names.
copy_databases() {
  local engine data
  # Not on standard input: servers and tools would read it.
  while IFS=$'\t' read -r -u 3 engine data; do
    case $engine in
      mariadb | postgresql) copy_database "$engine" "$data" ;;
    esac
  done 3<"$job/databases"
}
