#!/usr/bin/env bash
# Room: infra/guests. One connection of the HTTP proxy that a guest's apt sees at a guestfwd address.
# QEMU starts it per connection, with the connection as standard streams, so nothing listens anywhere.
# It lets a guest whose network is cut off (restrict=on) install packages, by whatever route this
# machine itself has to its mirror: apt-helper downloads with the machine's own apt settings.
#
# I1  It fetches only below the archives listed in ARCHIVES (one URI per line), by GET.
# I2  It checks nothing: the guest's apt verifies every signature and hash end to end.
#
#   relay.sh ARCHIVES CACHE LOG
set -euo pipefail
export LC_ALL=C
archives=$1 cache=$2 log=$3
exec 2>>"$log"

MAX_HEADERS=64    # lines in one request; apt sends about ten
IDLE_SECONDS=120  # an open connection without a request
KEEP_DAYS=30      # unused answers are dropped after that

answer() {
  printf 'HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: %s\r\n\r\n' "$1" "${2:-keep-alive}"
}

# Prints the URL to fetch for the one asked: the guest asks by http:// for archives reached by https://.
allowed() {
  local archive
  while IFS= read -r archive; do
    if [[ $1 == "http://${archive#*://}"* && $1 != *..* ]]; then
      printf '%s%s\n' "$archive" "${1#"http://${archive#*://}"}"
      return 0
    fi
  done <"$archives"
  return 1
}

fetch() {
  local url=$1 file=$2 part
  # What names its own hash or version never changes; the release files do.
  if [[ $url != */InRelease && $url != */Release && $url != */Release.gpg && -s $file ]]; then
    touch -- "$file"
    return 0
  fi
  part=$(mktemp -- "$cache/part.XXXXXX")
  if ! /usr/lib/apt/apt-helper -o Acquire::Retries=2 download-file "$url" "$part" >&2; then
    rm -f -- "$part"
    return 1
  fi
  mv -f -- "$part" "$file"
}

find "$cache" -type f -mtime "+$KEEP_DAYS" -delete || true
while IFS=' ' read -r -t "$IDLE_SECONDS" method asked _; do
  headers=0
  while IFS= read -r -t "$IDLE_SECONDS" header && [[ $header != $'\r' && -n $header ]]; do
    ((++headers <= MAX_HEADERS)) || exit 0
  done
  if [[ $method != GET ]]; then
    answer '501 Not Implemented' close
    exit 0
  elif ! url=$(allowed "$asked"); then
    answer '403 Forbidden'
  else
    file=$cache/$(printf '%s' "$url" | sha256sum | cut -d' ' -f1)
    if fetch "$url" "$file"; then
      printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nContent-Type: application/octet-stream\r\n\r\n' \
        "$(stat -c %s -- "$file")"
      cat -- "$file"
    else
      answer '404 Not Found'
    fi
  fi
done
exit 0
