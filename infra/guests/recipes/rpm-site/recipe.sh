# shellcheck shell=bash
# shellcheck source=../rpm-base/recipe.sh
source "$RECIPES_DIR/rpm-base/recipe.sh"
guest_title='an RPM guest with a web server, 8 MiB of data, and the repository of its packages on /media'
guest_hash_also=(rpm-base)
guest_size_mib=192
guest_http_port=80
guest_site_dir=/srv/www

recipe_data() {
  make_site "$1$guest_site_dir" rpm-site 8
  # What the packages themselves brought can be asked for as well.
  ln -s /usr/share/web-tools "$1$guest_site_dir/about"
  ln -s /usr/bin "$1$guest_site_dir/bin"
  printf '%s\n' less libtinfo6 httpd web-tools-1.1 >"$2/more"
  : >"$2/with-repository"
}
