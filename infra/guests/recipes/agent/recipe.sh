# shellcheck shell=bash
# shellcheck source=../tiny/recipe.sh
source "$RECIPES_DIR/tiny/recipe.sh"
guest_title="tiny with QEMU's guest agent, and a loop that appends to a file (tests)"
guest_hash_also=(tiny)
guest_packages+=(qemu-guest-agent)
# The agent and its libraries.
guest_size_mib=112

recipe_data() {
  make_site "$1$guest_site_dir" agent 4
  cp -- "$RECIPES_DIR/tiny/install.sh" "$2/tiny.sh"
  cp -- "$RECIPES_DIR/agent/serve.sh" "$RECIPES_DIR/agent/append.sh" "$2/"
}
