# shellcheck shell=bash
# Room: infra/guests. What the recipes of web servers share: a site whose every file is known.

# Makes the site of a web server in $1: seeded files and a front page that links to their folders.
# $2: the seed; $3: MiB of user data; $4: percent of it that is text.
make_site() {
  local dir=$1 folder
  mkdir -p "$dir"
  perl "$GUESTS_DIR/lib/userdata.pl" files "$2" "$3" "$dir" "${4:-50}"
  {
    printf '<!doctype html>\n<title>%s</title>\n<h1>%s</h1>\n<ul>\n' "$guest_name" "$guest_name"
    for folder in "$dir"/*/; do
      printf '<li>%s: %d files</li>\n' "$(basename "$folder")" "$(find "$folder" -type f | wc -l)"
    done
    printf '</ul>\n'
  } >"$dir/index.html"
}
