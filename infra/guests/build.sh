#!/usr/bin/env bash
# Room: infra/guests. Builds the guests that are not in the cache yet, several at once.
# Progress goes to standard error; standard output gets the finished guests, one per line.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
source "$here/lib/common.sh"

DEFAULT_GUESTS=(debian-12-base web-01 web-02)
JOBS=2  # a guest under emulation and an installation keep two cores busy
TOOLS=(mmdebstrap grub-mkimage mke2fs e2fsck dumpe2fs debugfs sfdisk blkid qemu-system-x86_64
  qemu-img setpriv flock curl openssl perl)

usage() {
  cat <<USAGE
Usage: infra/guests/build.sh [OPTION...] [NAME...]

Builds virtual machines from Debian's archives, boots each, and keeps their disks in a cache.
What is there and still current is not built again. Without a NAME: ${DEFAULT_GUESTS[*]}.

  --list        the guests there are, and which of them are in the cache
  --force       build again what is current
  --size MIB    random data of shop-01-data (default: 1024)
  --jobs N      how many are built at once (default: $JOBS)
  --json        print an array of the finished guests' records instead of their paths
  --help        this text

Cache: $(guests_cache_dir)  (VMDN_GUESTS_DIR chooses another)
USAGE
}

list_guests() {
  local name state
  for name in $(all_guests); do
    state='not built'
    if is_current "$cache" "$name" "$(recipe_hash "$name")"; then
      state=built
    elif [[ -f $cache/$name.json ]]; then
      state='out of date'
    fi
    (load_recipe "$name" && printf '%-16s %-12s %s\n' "$name" "$state" "$guest_title")
  done
}

check_tools() {
  local tool
  local -a lacking=()
  for tool in "${TOOLS[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || lacking+=("$tool")
  done
  [[ -d /usr/lib/grub/i386-pc ]] || lacking+=(/usr/lib/grub/i386-pc)
  if ((${#lacking[@]})); then die "missing: ${lacking[*]}. Run infra/setup.sh run guests"; fi
  [[ $(dpkg --print-architecture) == amd64 ]] || die 'guests are built on amd64 machines only'
  if ((EUID != 0)); then
    as_tree_root true 2>/dev/null ||
      die "user $(id -un) may not make user namespaces with subordinate ids. As root, give it some:
  usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
  fi
}

print_results() {
  local name separator='' file
  if ((json)); then
    printf '['
    for name in "$@"; do
      printf '%s\n' "$separator"
      cat -- "$cache/$name.json"
      separator=,
    done
    printf ']\n'
    return
  fi
  for name in "$@"; do
    file=$(sed -n 's/^  "file": "\(.*\)",$/\1/p' "$cache/$name.json")
    printf '%s\n' "$cache/$file"
  done
}

declare -A job_of=()
failed=()

stop_jobs() {
  if ((${#job_of[@]})); then kill -TERM "${!job_of[@]}" 2>/dev/null || true; fi
  wait
}

# Waits for one job to end and notes whether it failed.
reap_one() {
  local pid status=0
  wait -n -p pid "${!job_of[@]}" || status=$?
  if ((status != 0)); then failed+=("${job_of[$pid]}"); fi
  unset "job_of[$pid]"
}

# One function, so that bash has read all of it before it starts: this file may be changed meanwhile.
main() {
  cache=$(guests_cache_dir)
  force=0 json=0 list=0
  names=()
  while (($#)); do
    case $1 in
      --list) list=1 ;;
      --force) force=1 ;;
      --json) json=1 ;;
      --jobs)
        JOBS=${2:-}
        [[ $JOBS =~ ^[1-9][0-9]?$ ]] || die '--jobs takes a number from 1 to 99'
        shift
        ;;
      --size)
        export VMDN_GUESTS_DATA_MIB=${2:-}
        [[ $VMDN_GUESTS_DATA_MIB =~ ^[1-9][0-9]{0,4}$ ]] || die '--size takes a number of MiB, at most 99999'
        shift
        ;;
      --help | -h)
        usage
        exit 0
        ;;
      -*) die "unknown option $1; see build.sh --help" ;;
      *)
        # Not -q: grep would end at the first line, and a list that is still being written would fail with it.
        all_guests | grep -xF -- "$1" >/dev/null || die "there is no guest $1. There are: $(all_guests | tr '\n' ' ')"
        names+=("$1")
        ;;
    esac
    shift
  done
  if ((list)); then
    list_guests
    exit 0
  fi
  if ((${#names[@]} == 0)); then names=("${DEFAULT_GUESTS[@]}"); fi
  check_tools
  mkdir -p "$cache"

  trap 'stop_jobs; exit 143' TERM
  trap 'stop_jobs; exit 130' INT
  for name in $(all_guests | grep -xF -f <(printf '%s\n' "${names[@]}")); do
    while ((${#job_of[@]} >= JOBS)); do reap_one; done
    bash "$here/lib/build-one.sh" "$name" "$force" &
    job_of[$!]=$name
  done
  while ((${#job_of[@]})); do reap_one; done
  if ((${#failed[@]})); then die "could not build: ${failed[*]}"; fi
  print_results "${names[@]}"
  exit 0
}

main "$@"
