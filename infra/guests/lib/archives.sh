# shellcheck shell=bash
# Room: infra/guests. Finds the Debian archives that this machine itself uses, so that no mirror is
# ever hard-coded and third-party sources never get into a guest.
#
# I1  An archive counts as Debian's own when its signed Release file says `Origin: Debian`, whatever
#     host serves it. Its signature is checked by apt with Debian's keyring when a guest is built.

GUEST_SUITE=bookworm
GUEST_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Lists `uri|suite|component|label` of Debian's archives, by the package lists that apt option set $@ sees.
list_archives() {
  # The format's fields are apt's, not the shell's.
  # shellcheck disable=SC2016
  apt-get "$@" indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(LABEL)|$(ORIGIN)' \
    'Created-By: Packages' 2>/dev/null |
    awk -F'|' '$5 == "Debian" && $1 ~ /^https?:/ { print $1 "|" $2 "|" $3 "|" $4 }' | sort -u
}

# Writes a deb822 sources file for the guest release to $1; $2 is a folder for apt's own state.
write_sources() {
  local sources=$1 state=$2 found
  found=$(list_archives) || found=''
  if [[ -z $found ]]; then
    # This machine's lists were never fetched (or were cleaned): fetch into a state of our own.
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    local -a own=(-o "Dir::State=$state" -o Dir::State::status=/var/lib/dpkg/status
      -o "Dir::Cache=$state/cache" -o "APT::Sandbox::User=$(id -un)")
    apt-get -q "${own[@]}" -o Acquire::Retries=3 update >&2 || true
    found=$(list_archives "${own[@]}") || found=''
  fi
  [[ -n $found ]] || die 'none of the apt sources of this machine is a Debian archive reached by http or https (apt-get indextargets).'

  # Components other than main hold nothing that a guest needs.
  local uri suite component label wanted=''
  while IFS='|' read -r uri suite component label; do
    [[ $component == main ]] || continue
    # On a machine of another Debian release, the same archives serve the guest's release too.
    case "$suite|$label" in
      "$GUEST_SUITE|"* | "$GUEST_SUITE-updates|"* | "$GUEST_SUITE-security|"*) wanted+="$uri $suite"$'\n' ;;
      *'|Debian') wanted+="$uri $GUEST_SUITE"$'\n'"$uri $GUEST_SUITE-updates"$'\n' ;;
      *'|Debian-Security') wanted+="$uri $GUEST_SUITE-security"$'\n' ;;
    esac
  done <<<"$found"
  grep -q " $GUEST_SUITE\$" <<<"$wanted" || die "no apt source of this machine serves Debian $GUEST_SUITE."
  while read -r uri suite; do
    [[ -n $uri ]] || continue
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$uri" "$suite" "$GUEST_KEYRING"
  done < <(sort -u <<<"$wanted") >"$sources"
}

# The machine's own ways of reaching its mirror (proxies, certificates, clocks), as `Name "value"` lines.
# Whether signatures are checked is not among them: they always are.
machine_apt_options() {
  apt-config dump --format '%F "%v"%n' Acquire |
    grep -E '^Acquire::([a-z]+::(Proxy|CaInfo|CaPath|Verify|Timeout)|Check-(Valid-Until|Date)|Retries)' |
    grep -v ' ""$' | grep -v '::$' || true
  local scheme
  for scheme in http https; do
    local variable=${scheme}_proxy
    if [[ -n ${!variable:-} ]]; then printf 'Acquire::%s::Proxy "%s"\n' "$scheme" "${!variable}"; fi
  done
}
