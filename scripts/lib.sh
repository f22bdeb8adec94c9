# Shared by the scripts in this folder; sourced, never run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A compiler's cache serves every checkout of the same files: a clone, a worktree.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

# Colour only where somebody watches (https://no-color.org).
if [[ -t 2 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '%s== %s%s\n' "$bold" "$*" "$plain" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# configure PRESET: runs CMake only where it has not run before; Ninja runs it again by itself when a CMake file
# changed.
configure() {
  if [[ ! -f build/$1/build.ninja ]]; then
    say "configuring (preset $1)"
    cmake --preset "$1" >&2
  fi
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  configure "$preset"
  say "building ${*:-everything} (preset $preset)"
  cmake --build --preset "$preset" ${*:+--target "$@"} >&2
}

# Every C++ file of ours, one per line: those that are committed and those that are about to be.
sources() { find src tests -type f \( -name '*.h' -o -name '*.cpp' \) | LC_ALL=C sort; }
