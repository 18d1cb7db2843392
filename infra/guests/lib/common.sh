# shellcheck shell=bash
# Room: infra/guests. What every script of the guest builder shares: words on the terminal, the
# cache folder, durable placing of files, recipe hashes.

GUESTS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECIPES_DIR=$GUESTS_DIR/recipes
# shellcheck source=site.sh
source "$GUESTS_DIR/lib/site.sh"

# Where finished guests live: outside the repository, where the system's conventions want a cache.
guests_cache_dir() {
  if [[ -n ${VMDN_GUESTS_DIR:-} ]]; then
    printf '%s\n' "$VMDN_GUESTS_DIR"
  elif ((EUID == 0)); then
    printf '%s\n' /var/cache/vmdn/guests
  else
    printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/vmdn/guests"
  fi
}

say() {
  printf '%-16s %4ds  %s\n' "${guest_name:-guests}" "$SECONDS" "$*" >&2
}

die() {
  printf '%s: %s\n' "${guest_name:-guests}" "$*" >&2
  exit 1
}

# The guests there are recipes for, in the order in which they are best built.
all_guests() {
  local name
  for name in debian-12-base web-01 web-02 tiny rpm-base rpm-site db-01 agent who-01 pacer shop-01 shop-01-data; do
    if [[ -f $RECIPES_DIR/$name/recipe.sh ]]; then printf '%s\n' "$name"; fi
  done
}

# Sets the variables of a recipe, with what holds unless the recipe says otherwise.
# Units: guest_size_mib and guest_data_mib in MiB, guest_start_sector in sectors of 512 bytes.
load_recipe() {
  guest_name=$1
  guest_title=''
  guest_parent=''             # clone this guest's disk, then run provision.sh inside it
  guest_format=raw
  guest_size_mib=1024
  guest_start_sector=2048
  guest_block_bytes=4096
  guest_variant=minbase       # mmdebstrap's
  guest_packages=()
  guest_tree=''               # the folder of the installed tree that becomes the disk (all of it)
  guest_kernel_arguments='quiet'
  guest_vcpus=2
  guest_memory_mib=512
  guest_http_port=0           # 0: serves nothing, ready when its console asks for a login
  guest_ready_path=/index.html
  guest_site_dir=/var/www/html
  guest_hash_also=()          # other recipes whose files this one uses
  guest_install=$guest_name   # the recipe whose install.sh is run
  # Makes the recipe's files: what lies below $1 goes to the same place in the guest, what lies
  # in $2 is given to install.sh or provision.sh as its own folder.
  recipe_data() { :; }
  # Further proof that the booted guest serves what it should, at 127.0.0.1:$guest_host_port.
  recipe_check() { :; }
  [[ -f $RECIPES_DIR/$guest_name/recipe.sh ]] ||
    die "there is no recipe of that name. There are: $(all_guests | tr '\n' ' ')"
  # shellcheck source=/dev/null
  source "$RECIPES_DIR/$guest_name/recipe.sh"
}

# The files of the builder that decide what a guest contains. How it is booted, placed or reported
# does not: changing that must not rebuild every guest.
CONTENT=(lib/overlay lib/assemble.sh lib/customise.sh lib/pack.sh lib/site.sh lib/userdata.pl)
CLONE_CONTENT=(lib/clone.sh lib/provision.sh lib/site.sh lib/userdata.pl)

# A guest is rebuilt when this changes: scripts, recipe, parameters, parent. Not when a mirror has news.
recipe_hash() (
  load_recipe "$1"
  cd "$GUESTS_DIR" || exit
  files=("${CONTENT[@]}")
  if [[ -n $guest_parent ]]; then files=("${CLONE_CONTENT[@]}"); fi
  for name in "$1" "${guest_hash_also[@]}"; do files+=("recipes/$name"); done
  {
    compgen -v guest_ | while IFS= read -r variable; do declare -p "$variable"; done
    find "${files[@]}" -type f -print0 | sort -z | xargs -0 sha256sum --
    if [[ -n $guest_parent ]]; then recipe_hash "$guest_parent"; fi
  } | sha256sum | cut -d' ' -f1
)

# True when the finished guest in the cache was built from the recipe as it is now.
is_current() {
  local cache=$1 name=$2 hash=$3 file
  [[ -f $cache/$name.json ]] || return 1
  grep -qF "\"recipeHash\": \"$hash\"" "$cache/$name.json" || return 1
  file=$(sed -n 's/^  "file": "\(.*\)",$/\1/p' "$cache/$name.json")
  [[ -n $file && -f $cache/$file ]]
}

# Puts a finished file under its final name: data on the disk first, then the name.
place() {
  local from=$1 to=$2
  sync -- "$from"
  mv -f -- "$from" "$to"
  sync -- "$(dirname "$to")"
}

# Runs a command as root of a user namespace (as real root: plainly), so that files keep their owners.
as_tree_root() {
  if ((EUID == 0)); then
    "$@"
  else
    unshare --user --map-auto --map-root-user -- "$@"
  fi
}

# A UUID that a name always gets: version 8 (RFC 9562), from its SHA-256.
uuid_of() {
  local h
  h=$(printf '%s' "$1" | sha256sum)
  printf '%s-%s-8%s-a%s-%s\n' "${h:0:8}" "${h:8:4}" "${h:13:3}" "${h:17:3}" "${h:20:12}"
}
