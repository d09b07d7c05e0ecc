# To be sourced by bash scripts: makes what a build needs available, without root where that is possible.
#
# Sets `scflow` (the program's path after a build) and `python_home` (the virtual environment of this project), respects
# CARGO_TARGET_DIR, and leaves the system alone unless it runs as root and a Debian package is missing.

scflow_cache="${XDG_CACHE_HOME:-$HOME/.cache}/scflow"
python_home="$scflow_cache/python"
scflow="${CARGO_TARGET_DIR:-target}/release/scflow"

# A set HDF5_DIR would make the build look for a library of the system instead of the one that it brings.
unset HDF5_DIR

fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

# Installs Debian packages if this is root; else tells what to install.
need_packages() {
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing $*" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >&2
  else
    fail "$* missing" "install it, on Debian or Ubuntu with: sudo apt-get install $*"
  fi
}

# Makes the virtual environment, once.
need_python_environment() {
  if "$python_home/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
  command -v python3 >/dev/null || need_packages python3 python3-venv python3-pip
  mkdir -p "$scflow_cache"
  rm -rf "$python_home"
  if ! python3 -m venv "$python_home" >/dev/null 2>&1; then
    rm -rf "$python_home"
    need_packages python3-venv python3-pip
    python3 -m venv "$python_home"
  fi
}

# Installs the packages of a requirements file into the virtual environment.
need_python_packages() {
  need_python_environment
  "$python_home/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1"
}

# Prints where a browser is; root installs one if there is none.
find_browser() {
  local round name
  for round in first second; do
    for name in chromium chromium-browser google-chrome; do
      if command -v "$name"; then return; fi
    done
    if [ "$round" = second ] || [ "$(id -u)" -ne 0 ]; then return 1; fi
    need_packages chromium || return 1
  done
}

need_build_tools() {
  if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
  command -v cargo >/dev/null || fail "cargo is missing" "install Rust from your distribution or with rustup"
  command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || need_packages build-essential
  # HDF5 is built from source, by cmake.
  if ! command -v cmake >/dev/null; then
    if [ ! -x "$python_home/bin/cmake" ]; then
      need_python_environment
      "$python_home/bin/python" -m pip install --quiet --disable-pip-version-check "cmake==4.4.5"
    fi
    mkdir -p "$scflow_cache/bin"
    ln -sf "$python_home/bin/cmake" "$scflow_cache/bin/cmake"
    export PATH="$scflow_cache/bin:$PATH"
  fi
}
