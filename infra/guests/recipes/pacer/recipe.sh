# shellcheck shell=bash
# shellcheck source=../tiny/recipe.sh
source "$RECIPES_DIR/tiny/recipe.sh"
guest_title='tiny, and a loop that reads and writes its disk and notes how long that took (benchmarks)'
guest_hash_also=(tiny)

recipe_data() {
  make_site "$1$guest_site_dir" pacer 4
  mkdir -p "$1$guest_site_dir/loop"
  cp -- "$RECIPES_DIR/tiny/install.sh" "$2/tiny.sh"
  cp -- "$RECIPES_DIR/pacer/loop.sh" "$2/"
}
