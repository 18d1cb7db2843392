# shellcheck shell=bash
# shellcheck source=../shop-01/recipe.sh
source "$RECIPES_DIR/shop-01/recipe.sh"
guest_data_mib=${VMDN_GUESTS_DATA_MIB:-1024}
guest_title="shop-01 with $guest_data_mib MiB of random data in small and big files (benchmarks)"
# The data, and a tenth more for inodes, journal and what ext4 keeps back.
guest_size_mib=$((2048 + guest_data_mib + guest_data_mib / 10))
guest_hash_also=(shop-01)
guest_install=shop-01

recipe_data() {
  shop_data "$1" "$2"
  mkdir -p "$1/srv"
  perl "$GUESTS_DIR/lib/userdata.pl" files shop-01-data "$guest_data_mib" "$1/srv/data" 0
}
